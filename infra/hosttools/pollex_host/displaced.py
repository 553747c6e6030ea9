"""What stood at a visible place before us is kept, once, and put back when the place is given up.

`displaced/claims.json` says what is ours, `displaced/files/<path>` holds what stood there. A claim is written down
before anything moves and counts as made once nothing is left to move, so that one that was cut is made whole by whoever
comes next. What is ours already, because it was put there before /opt/pollex was lost, is claimed like anything else
and never taken for what was found.
"""

from __future__ import annotations

import errno
import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from . import board, files, places, systemd
from .errors import HostToolError
from .say import say

UNIT, LINK, FILE, FOLDER, SETTING = "unit", "link", "file", "folder", "board"
"""The kinds of places. A unit and a setting of the board are named by their name, the others by their path."""

_FOLDER = f"{places.ROOT}/displaced"
_CLAIMS = f"{_FOLDER}/claims.json"
_KEPT = f"{_FOLDER}/files"
_FORMER = f"{places.ROOT}/found"
"""Where the former tools kept the same, with their claims in `list`, one a line."""

_COMMON = {"/", "/etc", "/opt", "/srv", "/var/lib", places.BIN, places.UNITS} | {
    f"/usr/local{folder}" for folder in ("", "/bin", "/etc", "/lib", "/libexec", "/sbin", "/share")
}
"""Folders that a system has by itself, so that nobody made them for us."""


@dataclass(frozen=True)
class Claim:
    """A place that is ours."""

    kind: str
    place: str
    enabled: str = ""
    """Of a unit that stood there, what `systemctl is-enabled` said."""
    active: str = ""
    ours: bool = False
    """Whether what stood there was put there by us in a former life, so that there is nothing to keep of it."""
    keeps: bool = False
    """Whether something that stood there is kept; once that is gone from where it is kept, it is back in its place."""
    former: str = ""
    """Of a setting of the board, what it was."""

    @property
    def path(self) -> str:
        """Where it is."""
        return f"{places.UNITS}/{self.place}" if self.kind == UNIT else self.place

    @property
    def kept(self) -> str:
        """Where what stood there is kept."""
        return _KEPT + self.path


@dataclass
class Claims:
    """All places that are ours; every change is on the disk when it returns. Only one process at a time may use it."""

    made: list[Claim] = field(default_factory=list)
    begun: Claim | None = None
    """The one that was cut, or is being made."""

    @classmethod
    def load(cls) -> Claims:
        """What is ours, after what was cut has been made whole, and what the former tools wrote was taken over."""
        _take_over()
        text = files.read(_CLAIMS)
        if text is None:
            return cls()
        stored = json.loads(text)
        claims = cls([Claim(**row) for row in stored["made"]], Claim(**stored["begun"]) if stored["begun"] else None)
        if claims.begun is not None:
            claims._end(claims.begun)
        return claims

    def of(self, kind: str) -> list[str]:
        """The places of a kind, in the order in which they were claimed."""
        return [claim.place for claim in self.made if claim.kind == kind]

    def has(self, kind: str, place: str) -> bool:
        """Whether that place is ours."""
        return any((claim.kind, claim.place) == (kind, place) for claim in self.made)

    def claim_unit(self, name: str, text: str) -> None:
        """Make a unit's place ours.

        Args:
            name: of the unit.
            text: what will stand there.
        """
        if self.has(UNIT, name):
            return
        claim = Claim(UNIT, name)
        if _is_former_unit(claim.path, text):
            self._begin(replace(claim, ours=True))
            return
        # looked at before the unit's file goes, and not again when this is cut and repeated
        enabled, active = systemd.asked("is-enabled", name), systemd.asked("is-active", name)
        self._begin(replace(claim, enabled=enabled or "missing", active=active or "inactive"))

    def claim_link(self, path: str) -> None:
        """Make the place of a link ours."""
        ours = _leads_to_store(path)
        self._claim_folder(os.path.dirname(path), former=ours)
        if not self.has(LINK, path):
            self._begin(Claim(LINK, path, ours=ours))

    def claim_file(self, path: str, content: bytes) -> None:
        """Make a file's place ours.

        Args:
            path: where it will be.
            content: what will stand there.
        """
        new = not self.has(FILE, path)
        ours = new and self._is_former_file(path, content)
        self._claim_folder(os.path.dirname(path), former=ours)
        if new:
            self._begin(Claim(FILE, path, ours=ours))

    def claim_setting(self, name: str) -> None:
        """Make a setting of the board ours: what it is now is what it will be again."""
        if not self.has(SETTING, name):
            self.made.append(Claim(SETTING, name, former=board.SETTINGS[name].former()))
            self._save()

    def release_unit(self, name: str) -> None:
        """Stop, disable and remove it; a unit that was found is back as it was."""
        claim = self._find(UNIT, name)
        systemd.stop_for_good(name)
        files.remove(claim.path + files.NEW)
        _give_back(claim)
        systemd.reload()
        systemd.forget_failure(name)
        if claim.enabled == "enabled":
            systemd.enable(name)
        if claim.active == "active" and not systemd.start(name):
            say(f"{name}, which was found active, does not start again")
        self._forget(claim)

    def release_link(self, path: str) -> None:
        """Remove a link of ours and put back what was found; what somebody put in its place is left alone."""
        claim = self._find(LINK, path)
        files.remove(path + files.NEW)
        if files.there(path) and not _leads_to_store(path) and not _is_back(claim):
            _leave_alone(claim, "not a link of ours any more")
        else:
            _give_back(claim)
        self._forget(claim)

    def release_file(self, path: str) -> None:
        """Remove a file, whoever edited it, and put back what was found; a folder with something in it is not ours."""
        claim = self._find(FILE, path)
        files.remove(path + files.NEW)
        if is_folder(path) and not _is_back(claim) and not remove_empty(path):
            _leave_alone(claim, "a folder now")
        else:
            _give_back(claim)
        self._forget(claim)

    def release_setting(self, name: str) -> None:
        """Put a setting of the board back to what it was."""
        claim = self._find(SETTING, name)
        try:
            board.SETTINGS[name].put_back(claim.former)
        except (OSError, HostToolError) as error:
            say(f"left alone: pollex:board.{name} cannot be put back to what it was, {claim.former}: {error}")
        self._forget(claim)

    def release_folders(self) -> None:
        """Remove those that were made for us and are empty again, the innermost first."""
        made = [claim for claim in self.made if claim.kind == FOLDER]
        for claim in sorted(made, key=lambda claim: claim.place, reverse=True):
            if not is_folder(claim.path) or remove_empty(claim.path):
                self._forget(claim)

    def forget_everything(self) -> None:
        """The claims; what could not be put back stays."""
        self.made, self.begun = [], None
        files.remove(_CLAIMS)
        files.remove(_CLAIMS + files.NEW)
        for path in [*reversed(list(files.everything(_FOLDER))), _FOLDER]:
            if is_folder(path):
                remove_empty(path)

    def _begin(self, claim: Claim) -> None:
        """Write down what is claimed, then keep what stands there."""
        self.begun = claim
        if files.there(claim.path) and not claim.ours:
            self._save()
        self._end(claim)

    def _end(self, claim: Claim) -> None:
        """Keep what stands there, in two steps: a move between file systems is a copy that can be cut half done."""
        part = claim.kept + ".part"
        if files.there(claim.path) and not claim.ours:
            say(f"keeping what stands at {claim.path} as {claim.kept}")
            os.makedirs(os.path.dirname(claim.kept), exist_ok=True)
            files.remove(part)
            _move(claim.path, part)
        if files.there(part):
            files.remove(claim.kept)
            os.rename(part, claim.kept)
        self.made.append(replace(claim, keeps=files.there(claim.kept)))
        self.begun = None
        self._save()

    def _claim_folder(self, path: str, *, former: bool) -> None:
        """Make a folder that is not there, and remember that before it is; its parents too.

        Args:
            path: of the folder.
            former: whether what will be claimed in it is ours already, so that the folder was made for us, too.
        """
        missing = not os.path.isdir(path)
        if missing:
            self._claim_folder(os.path.dirname(path), former=False)
        if (missing or (former and path not in _COMMON)) and not self.has(FOLDER, path):
            self.made.append(Claim(FOLDER, path))
            self._save()
        if missing:
            os.mkdir(path)

    def _is_former_file(self, path: str, content: bytes) -> bool:
        """Whether a file is ours although no claim says so: it is the very one, or a former unit of ours names it."""
        if os.path.islink(path) or not os.path.isfile(path):
            return False
        with open(path, "rb") as file:
            return file.read() == content or any(path in text for text in self._former_units())

    def _former_units(self) -> Iterator[str]:
        """The texts of units that were ours in a former life, as they stand there."""
        for claim in self.made:
            if claim.kind == UNIT and claim.ours:
                yield files.read(claim.path) or ""

    def _find(self, kind: str, place: str) -> Claim:
        return next(claim for claim in self.made if (claim.kind, claim.place) == (kind, place))

    def _forget(self, claim: Claim) -> None:
        self.made.remove(claim)
        self._save()

    def _save(self) -> None:
        os.makedirs(_FOLDER, exist_ok=True)
        stored: dict[str, Any] = {
            "made": [asdict(claim) for claim in self.made],
            "begun": asdict(self.begun) if self.begun else None,
        }
        files.write(_CLAIMS, json.dumps(stored, ensure_ascii=False, indent=1) + "\n")


def is_folder(path: str) -> bool:
    """Whether a folder stands there, and no link to one."""
    return os.path.isdir(path) and not os.path.islink(path)


def remove_empty(path: str) -> bool:
    """Whether it was an empty folder, which is gone."""
    try:
        os.rmdir(path)
    except OSError:
        return False
    return True


def _leads_to_store(path: str) -> bool:
    target = files.link_target(path)
    return target is not None and target.startswith(f"{places.STORE}/")


def _is_former_unit(path: str, text: str) -> bool:
    """Whether a unit is ours although no claim says so: it is the very one, or starts what lies in our store."""
    found = None if os.path.islink(path) else files.read(path)
    return found is not None and (found == text or any(_leads_to_store(program) for program in _programs(found)))


def _programs(unit: str) -> Iterator[str]:
    """The programs that a unit starts."""
    for line in unit.splitlines():
        name, _, command = line.partition("=")
        if name.strip() == "ExecStart" and command.split():
            yield command.split()[0].lstrip("@-:+!").strip("\"'")


def _is_back(claim: Claim) -> bool:
    """Whether what was found is in its place again, and only the end of a release was cut."""
    return claim.keeps and not files.there(claim.kept)


def _give_back(claim: Claim) -> None:
    """Put what was found, or nothing, in the place of what is ours."""
    if files.there(claim.kept):
        say(f"putting back what stood at {claim.path}")
        os.makedirs(os.path.dirname(claim.path), exist_ok=True)
        _move(claim.kept, claim.path)
    elif not claim.keeps:
        files.remove(claim.path)


def _leave_alone(claim: Claim, what: str) -> None:
    kept = f"; what was found there stays as {claim.kept}" if files.there(claim.kept) else ""
    say(f"left alone: {claim.path} is {what}{kept}")


def _move(source: str, target: str) -> None:
    """Put one thing in the place of another; between file systems, with all that it is."""
    if is_folder(source) or is_folder(target):
        files.remove(target)
    try:
        os.rename(source, target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        moved = subprocess.run(["mv", "-fT", "--", source, target], stdin=subprocess.DEVNULL, check=False)
        if moved.returncode:
            raise OSError(errno.EIO, f"cannot be moved to {target}", source) from None


def _take_over() -> None:
    """Make the notes of the former tools ours, in one step."""
    if not os.path.isdir(_FORMER) or not _make_way():
        return
    made = []
    for line in (files.read(f"{_FORMER}/list") or "").splitlines():
        kind, place, *states = line.split("\t")
        enabled, active = states or ("", "")
        claim = Claim(FOLDER if kind == "dir" else kind, place, enabled, active)
        made.append(replace(claim, keeps=files.there(f"{_FORMER}/files{claim.path}")))
    claiming = (files.read(f"{_FORMER}/claiming") or "").rstrip("\n")
    if claiming and claiming not in {claim.path for claim in made}:
        _undo(claiming, f"{_FORMER}/files{claiming}")
    text = json.dumps({"made": [asdict(claim) for claim in made], "begun": None}, ensure_ascii=False, indent=1)
    files.write(f"{_FORMER}/claims.json", text + "\n")
    os.rename(_FORMER, _FOLDER)
    for entry in list(os.scandir(_FOLDER)):
        if not entry.is_dir(follow_symlinks=False) and entry.path != _CLAIMS:
            os.unlink(entry.path)


def _make_way() -> bool:
    """Whether the former tools' notes count: not where these have places, which the former ones then took for found."""
    notes = files.read(_CLAIMS)
    if notes is not None and any(json.loads(notes).values()):
        _set_aside(_FORMER, "what an older revision took for found")
        return False
    if any(names for _, _, names in os.walk(_KEPT)):
        _set_aside(_FOLDER, "what could not go back to its place before")
    else:
        files.remove(_FOLDER)
    return True


def _set_aside(folder: str, what: str) -> None:
    aside = f"{folder}.{os.getpid()}"
    say(f"{what} stays in {aside}")
    os.rename(folder, aside)


def _undo(path: str, kept: str) -> None:
    """A claim of the former tools that was cut before it counted: what stood there goes back."""
    part = f"{kept}.part"
    if files.there(path):
        files.remove(part)
        return
    if files.there(part):
        files.remove(kept)
        os.rename(part, kept)
    if files.there(kept):
        os.makedirs(os.path.dirname(path), exist_ok=True)
        _move(kept, path)
