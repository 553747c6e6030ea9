"""A generation: the units that are live together with their programs, links, files and gates. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from infra.core import sheet
from infra.core.derivation import Derivation, sha256


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """A generated file at a visible path."""

    path: str
    text: str
    secret: bool = False
    """Whether only root may read it, and nothing but its hash is shown."""

    @property
    def name(self) -> str:
        """Its name in the sheet; a unit's files have different ones."""
        return self.path.rpartition("/")[2]

    @property
    def mode(self) -> str:
        """Its mode, octal."""
        return "600" if self.secret else "644"


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """A systemd unit with everything that belongs to it."""

    name: str
    text: str
    links: Mapping[str, str]
    """Visible path → target in the store."""
    needs: tuple[Derivation, ...]
    health: str
    """A URL that answers 200 when the unit is healthy."""
    completion: str | None
    """A URL that must complete a sentence, unless `health` says as much."""
    ready_seconds: int
    files: tuple[File, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """What is live together, as the host is told."""

    id: str
    """32 hex digits."""
    sheet: str
    secrets: dict[str, str]
    """Sections of the sheet that only the host may see."""
    live: dict[str, str]
    """What the host looks like when the generation is in force, item by item (docs/design.md, live map)."""


def generation(units: Sequence[Unit]) -> Generation:
    """The generation of these units, which are started and judged in this order."""
    files = [(unit, file) for unit in units for file in unit.files]
    content = {
        **{f"units/{unit.name}": unit.text for unit in units},
        "links": _lines((path, target) for unit in units for path, target in unit.links.items()),
        "needs": _lines((unit.name, need.path) for unit in units for need in unit.needs),
        "gates": _lines((u.name, u.health, u.completion or "-", str(u.ready_seconds)) for u in units),
        **({"files": _lines((u.name, f.path, f.mode, f.name, sha256(f.text)) for u, f in files)} if files else {}),
        **{f"content/{file.name}": file.text for _, file in files if not file.secret},
    }
    made = Derivation("generation", dict(content)).key
    return Generation(
        id=made,
        sheet=sheet.render({"env": sheet.env({"kind": "generation", "id": made}), **content}),
        secrets={f"content/{file.name}": file.text for _, file in files if file.secret},
        live={
            "generation": made,
            **{f"unit {unit.name}": sha256(unit.text) for unit in units},
            **{f"service {unit.name}": "active" for unit in units},
            **{f"link {path}": target for unit in units for path, target in unit.links.items()},
            **{f"file {file.path}": sha256(file.text) for _, file in files},
            **{f"store {need.item}": "intact" for unit in units for need in unit.needs},
        },
    )


def _lines(rows: Iterable[Sequence[str]]) -> str:
    return "".join("\t".join(row) + "\n" for row in rows)
