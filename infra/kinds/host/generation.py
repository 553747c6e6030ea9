"""A generation: the units that are live together with their programs, links, files and gates. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from infra.core.derivation import Derivation, sha256
from infra.hosttools.pollex_host import manifest


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """A generated file at a visible path."""

    path: str
    text: str
    secret: bool = False
    """Whether only root may read it, and nothing but its hash is shown."""

    @property
    def name(self) -> str:
        """Its last part; a unit's files have different ones."""
        return self.path.rpartition("/")[2]

    @property
    def mode(self) -> str:
        """Its mode, octal."""
        return "600" if self.secret else "644"

    def said(self) -> manifest.File:
        """As the manifest has it, which everybody may read."""
        text = None if self.secret else self.text
        return manifest.File(path=self.path, mode=self.mode, sha256=sha256(self.text), text=text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """A systemd unit with everything that belongs to it."""

    name: str
    text: str
    links: Mapping[str, str]
    """Visible path → target in the store."""
    needs: tuple[Derivation, ...]
    health: str | None
    """A URL that answers 200 when the unit is healthy; None where nothing depends on that."""
    completion: str | None
    """A URL that must complete a sentence, unless `health` says as much."""
    ready_seconds: int
    files: tuple[File, ...] = ()
    serves: manifest.Serves | None = None
    """How it serves a model, where it does."""

    def said(self) -> manifest.Unit:
        """As the manifest has it."""
        return manifest.Unit(
            name=self.name,
            text=self.text,
            needs=tuple(need.item for need in self.needs),
            links=tuple(manifest.Link(path, target) for path, target in self.links.items()),
            files=tuple(file.said() for file in self.files),
            gate=None
            if self.health is None
            else manifest.Gate(health=self.health, completion=self.completion, seconds=self.ready_seconds),
            serves=self.serves,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """What is live together, as the host is told."""

    manifest: manifest.Generation
    secrets: dict[str, str]
    """Texts of files that only the host may see, by path."""

    @property
    def id(self) -> str:
        """32 hex digits."""
        return self.manifest.id

    @property
    def live(self) -> dict[str, str]:
        """What the host looks like when the generation is in force, item by item."""
        return self.manifest.live()


def generation(units: Sequence[Unit], settings: Mapping[str, str] | None = None) -> Generation:
    """The generation of these units, which are started and judged in this order, and settings of the board."""
    set_ = tuple(manifest.Setting(name, value) for name, value in (settings or {}).items())
    said = manifest.Generation(id="", units=tuple(unit.said() for unit in units), settings=set_)
    plain = manifest.plain(said)
    made = Derivation("generation", {name: plain[name] for name in ("units", "settings") if name in plain}).key
    return Generation(
        manifest=replace(said, id=made),
        secrets={file.path: file.text for unit in units for file in unit.files if file.secret},
    )
