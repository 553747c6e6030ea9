"""What a generation consists of, as an SPDX document: source and patches, model, wheels, interpreter, tools. Pure.

It states the declaration. What a host brings itself, and apt installs there, has a name here and no version.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from infra import HOST_FOLDER, ROOT
from infra.core import bundle, spdx
from infra.core.bundle import Recipe
from infra.core.derivation import Derivation, Json, sha256
from infra.core.masking import masked
from infra.core.profiles import HOST_PACKAGES, RUNTIME_PACKAGES
from infra.hosttools.pollex_host import manifest
from infra.hosttools.pollex_host.tools import tools_hash
from infra.kinds.host import compilation
from infra.kinds.host.generation import Generation

if TYPE_CHECKING:
    from infra.kinds.host.plan import Plan
    from infra.kinds.host.spec import HostStack

FILE: Final = "sbom.spdx.json"
ABOUT: Final = "generation"
"""The part that the document is about, which contains all others."""

_SOURCE: Final = "https://github.com/ggml-org/llama.cpp"

Package = dict[str, Json]


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """What the project's own files say of what is deployed."""

    tools: str
    """The hash of pollex-host."""
    version: str | None
    """Of the polish service."""
    wheels: Mapping[str, str]
    """What the service depends on: name → version."""

    @classmethod
    def read(cls, root: Path = ROOT) -> Self:
        """From a checkout."""
        lock = (root / bundle.LOCK).read_text()
        version = re.search(
            r'^__version__ = "(.+)"$', (root / bundle.SOURCES / "__init__.py").read_text(), re.MULTILINE
        )
        return cls(
            tools=tools_hash(str(HOST_FOLDER)),
            version=version[1] if version is not None else None,
            wheels=dict(re.findall(r"^([A-Za-z0-9._-]+)==([^\s;]+)", lock, re.MULTILINE)),
        )


class Parts:
    """Parts of a document, and what they are to each other."""

    def __init__(self, made: Generation, what: str) -> None:
        self._id = made.id
        self._what = what
        self._packages = [spdx.package(ABOUT, what, made.id)]
        self._relations: list[Json] = []

    def add(self, ident: str, part: Package, *, relation: str = "CONTAINS", of: str = ABOUT) -> None:
        """A part, and what the other one has to do with it; one that is there already only gets the relation."""
        if part["SPDXID"] not in {one["SPDXID"] for one in self._packages}:
            self._packages.append(part)
        backwards = relation in {"BUILD_TOOL_OF", "PATCH_APPLIED"}
        self._relations.append(spdx.relation(*((ident, relation, of) if backwards else (of, relation, ident))))

    def debian(self, name: str, *, relation: str, of: str = ABOUT) -> None:
        """A Debian package of the host's own version."""
        self.add(f"deb-{name}", spdx.debian(name), relation=relation, of=of)

    def text(self) -> str:
        """The whole document."""
        return spdx.text(spdx.document(self._what, self._id, self._packages, self._relations))


def host(stack: HostStack, made: Plan, project: Project) -> str:
    """What a host's generation consists of."""
    parts = Parts(made.generation, f"pollex on {stack.host.address}")
    tools(parts, project)
    _llama(parts, stack, made)
    _model(parts, made.model_manifest)
    if made.bundle is not None and made.recipe is not None:
        service(parts, made.bundle, made.recipe, project)
    for name in RUNTIME_PACKAGES:
        parts.debian(name, relation="DEPENDS_ON", of="llama.cpp")
    return parts.text()


def tools(parts: Parts, project: Project) -> None:
    """What runs on the host to deploy, and what it calls."""
    parts.add("pollex-host", spdx.package("pollex-host", "pollex-host", project.tools))
    for name in HOST_PACKAGES:
        parts.debian(name, relation="DEPENDS_ON", of="pollex-host")


def service(parts: Parts, made: Derivation, recipe: Recipe, project: Project) -> None:
    """The polish service with its wheels, and what runs it."""
    info = f"store path {made.item}, for {recipe.platform}"
    parts.add("pollex", spdx.package("pollex", "pollex", project.version, sourceInfo=info))
    for name, version in project.wheels.items():
        purl = f"pkg:pypi/{re.sub(r'[-_.]+', '-', name).lower()}@{version}"
        parts.add(
            f"pypi-{name}", spdx.package(f"pypi-{name}", name, version, purl=purl), relation="DEPENDS_ON", of="pollex"
        )
    if recipe.interpreter is None:
        parts.debian(f"python{recipe.python}", relation="DEPENDS_ON", of="pollex")
        return
    cpython = spdx.package(
        "cpython", "cpython", recipe.python, masked(recipe.urls[0]), checksums=spdx.sha256(recipe.interpreter)
    )
    parts.add("cpython", cpython)
    parts.add("cpython", cpython, relation="DEPENDS_ON", of="pollex")


def _llama(parts: Parts, stack: HostStack, made: Plan) -> None:
    source = stack.source
    info = f"git tree {source.tree}; store path {made.build.item}, for {stack.host.architecture}"
    llama = spdx.package("llama.cpp", "llama.cpp", source.tag, f"git+{_SOURCE}@{source.commit}", sourceInfo=info)
    parts.add("llama.cpp", {**llama, "licenseDeclared": "MIT"})
    for patch in made.build_manifest.patches:
        ident = f"patch-{patch.name}"
        part = spdx.package(ident, f"patches/{patch.name}", checksums=spdx.sha256(sha256(patch.text)))
        parts.add(ident, part, relation="PATCH_APPLIED", of="llama.cpp")
    for name in compilation.packages(stack.build):
        parts.debian(name, relation="BUILD_TOOL_OF", of="llama.cpp")


def _model(parts: Parts, said: manifest.Model | manifest.Quantised) -> None:
    if isinstance(said, manifest.Model):
        parts.add("model", _published("model", said))
        return
    info = f"store path {said.item}: llama-quantize {' '.join(said.arguments)} {said.type}, on the host"
    parts.add("model", spdx.package("model", said.file, sourceInfo=info))
    parts.add("model-source", _published("model-source", said.source), relation="GENERATED_FROM", of="model")


def _published(ident: str, said: manifest.Model) -> Package:
    location = next(iter(said.mirrors), "")
    return spdx.package(ident, said.file, None, masked(location), checksums=spdx.sha256(said.sha256))
