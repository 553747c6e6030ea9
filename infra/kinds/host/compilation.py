"""A program of llama.cpp, compiled on the host: what decides its bytes, and what the host is told of it. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from infra import proof
from infra.core.derivation import Derivation, Json, sha256, significant
from infra.core.patches import Patch
from infra.core.profiles import PROFILES, SPARSE, Profile
from infra.core.source import Source
from infra.hosttools.pollex_host import manifest
from infra.kinds.host.spec import Build

SERVER = "llama-server"
QUANTISER = "llama-quantize"
"""llama.cpp's program that stores a model's tensors in other types; made from the same source as the server."""

RECIPE = ("recipe.sh", "same-paths.cmake")
"""What of infra/hosttools decides the bytes of a build."""

NO_COMPILERS = {"ccache", "cmake", "git", "make", "ninja-build", "patch"}
"""Packages of a build that decide no byte of what it makes."""

FORMER_SCRIPT = "698ae2c1270912a26c89d39f6228845a1e9a08f649a8b8f2059766bbfaef4786"
"""The SHA-256 of the four build scripts as they were last, when a key held the whole of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Compilation:
    """How programs of llama.cpp are made for one architecture."""

    source: Source
    build: Build
    architecture: str
    """What `uname -m` says on the host."""
    series: Sequence[Patch]
    """The patches of the profile, in order."""
    recipe: str
    """The text of the build recipe."""

    @property
    def profile(self) -> Profile:
        """The build profile that the stack names."""
        return PROFILES[self.build.profile]

    def derivation(self, target: str = SERVER) -> Derivation:
        """A program as a derivation: what decides its bytes, and nothing else.

        Headers and names of patches decide nothing, nor do comments of the recipe.

        Args:
            target: the program, `SERVER` or `QUANTISER`.
        """
        return self._derivation(
            target,
            patches=[patch.identity for patch in self.series],
            recipe={"recipe": sha256(significant(self.recipe))},
            toolchain=self._toolchain(),
        )

    def former_key(self, target: str = SERVER) -> str:
        """The key by the former formula, which named the same bytes: it held headers, names and comments too."""
        return self._derivation(
            target,
            patches=[{"name": patch.name, "sha256": patch.sha256} for patch in self.series],
            recipe={"script": FORMER_SCRIPT},
            toolchain=self.profile.toolchain,
        ).key

    def _derivation(self, target: str, *, patches: list[Json], recipe: dict[str, Json], toolchain: Json) -> Derivation:
        return Derivation(
            target,
            {
                "source": {"commit": self.source.commit, "tree": self.source.tree, "number": self.source.number},
                "patches": patches,
                # an interrupted build goes on with the folders that it has
                "folders": list(SPARSE),
                **recipe,
                "flags": list(self._flags(target)),
                "target": target,
                "architecture": self.architecture,
                "toolchain": toolchain,
                # what is in the store has passed it
                **({"proof": proof.identity()} if target == SERVER else {}),
            },
        )

    def _toolchain(self) -> str | list[Json]:
        """What compiles: the profile's words for it, or the stack's own packages where they bring other compilers."""
        own, usual = (set(names) - NO_COMPILERS for names in (packages(self.build), self.profile.packages))
        return self.profile.toolchain if own == usual else [*sorted(own)]

    def _flags(self, target: str) -> tuple[str, ...]:
        """The CMake arguments: the profile's, then the stack's own; the tools beside the server never touch a GPU."""
        every = (*self.profile.flags, *self.build.flags)
        return every if target == SERVER else tuple(flag for flag in every if "CUDA" not in flag)

    def manifest(self, target: str, substituters: Sequence[manifest.Substituter]) -> manifest.Build:
        """What the host is told of a program.

        Args:
            target: the program, `SERVER` or `QUANTISER`.
            substituters: where a finished build may lie.
        """
        made = self.derivation(target)
        return manifest.Build(
            key=made.key,
            name=target,
            target=target,
            source=manifest.Source(
                commit=self.source.commit,
                tree=self.source.tree,
                number=self.source.number,
                mirrors=tuple(self.source.mirrors),
                folders=SPARSE,
            ),
            patches=tuple(manifest.Patch(patch.name, patch.text) for patch in self.series),
            flags=self._flags(target),
            packages=packages(self.build),
            jobs=self.build.jobs if isinstance(self.build.jobs, int) else None,
            proof=manifest.Proof(**proof.texts()) if target == SERVER else None,
            substituters=tuple(substituters),
            former_keys=(self.former_key(target),),
        )


def packages(build: Build) -> tuple[str, ...]:
    """The apt packages of a build: the stack's own list, or the profile's."""
    return build.packages if build.packages is not None else PROFILES[build.profile].packages
