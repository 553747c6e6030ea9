"""Makes a generation live behind its gate, and returns to the former one when it is unhealthy.

The live map drives it: what is observed is compared with what should be, and only what differs is mended. So a second
activation, drift, a killed activation and a way back are all the same act.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from typing import Final, NoReturn, cast

from . import board, displaced, files, gate, generations, kept, manifest, places, run, say, store, systemd
from .displaced import Claims
from .errors import Ended, Exit, HostToolError, refusal
from .generations import Holder
from .manifest import Build, Bundle, Generation, Link, Unit
from .say import say as tell
from .status import Map, observed, report


def activate(arguments: list[str]) -> None:
    """Make the generation on stdin live."""
    by = _holder("activate", arguments)
    kept.need_root()
    given = cast("Generation", kept.from_stdin(Generation.kind))
    _begin()
    _refuse_another_stack(by)
    with generations.reserve():
        generations.keep(given)
        _Activation().switch_to(given, by)


def rollback(arguments: list[str]) -> None:
    """Make the former generation live again, or the one that is named, or the one that an interrupted switch left."""
    if arguments == [INTERRUPTED]:
        _begin()
        _return()
        return
    if len(arguments) > 1:
        raise HostToolError(Exit.USAGE, "'rollback' takes at most one generation")
    _begin()
    history = generations.history()
    if arguments:
        (name,) = arguments
        if not generations.exists(name):
            raise HostToolError(Exit.USAGE, f"there is no generation '{name}'; there are: {' '.join(history)}")
    else:
        former = [name for name in history if name != generations.current()]
        if not former:
            raise HostToolError(Exit.FAILED, "there is no former generation to return to")
        name = former[-1]
    # without a reserve, so that a full disk keeps nobody from returning to what worked
    _Activation().switch_to(generations.load(name), None)


INTERRUPTED: Final = "--interrupted"
"""What pollex-return.service asks for at a start of the host."""


def _return() -> None:
    """From an activation that was cut, to what it came from; nothing where none was, or somebody was faster."""
    came_from = generations.pending()
    if came_from is None:
        tell("no activation was interrupted")
        return
    tell(f"an activation was interrupted: returning to {came_from or 'what was found'}")
    before = _known(came_from)
    if before is not None:
        _Activation().switch_to(before, None)
        return
    undone = _Activation()
    undone.release_everything()
    generations.end()
    report({"generation": ""}, undone.changed)


def deactivate(arguments: list[str]) -> None:
    """Take everything out of service and put back what was found."""
    by = _holder("deactivate", arguments)
    _begin()
    live = generations.current()
    if why := _not_ours(by):
        tell(f"left alone: {why}")
        report({"generation": live}, left_alone=why)
        return
    undone = _Activation()
    undone.release_everything()
    generations.end()
    generations.hold(None)
    if live:
        generations.record("-")
        tell(
            f"generation {live} is out of service; the store, the sources and the generations stay in {places.ROOT}: "
            "remove that folder to be rid of them"
        )
    report({"generation": ""}, undone.changed)


def _holder(verb: str, arguments: list[str]) -> Holder | None:
    """Who asks; None where a person does, by hand.

    Raises:
        HostToolError: the arguments are others.
    """
    if not arguments:
        return None
    named = dict(zip(arguments[::2], arguments[1::2]))
    if set(named) != {"--resource", "--owner"} or 2 * len(named) != len(arguments):
        raise HostToolError(Exit.USAGE, f"'{verb}' takes --resource NAME --owner STACK, both or none, and nothing else")
    return Holder(named["--resource"], named["--owner"])


def _refuse_another_stack(by: Holder | None) -> None:
    owner = generations.owner()
    if by is not None and owner and not _same(owner, by.owner):
        raise HostToolError(
            Exit.FAILED,
            f"this host belongs to the stack {owner}, and not to {by.owner or 'the one that asks'}",
            f"to take it over: pulumi config set --path pollex:host.takeover '{owner}'",
        )


def _not_ours(by: Holder | None) -> str:
    """Why what is live is not for the one who asks to undo; an empty text where it is, or where a person asks."""
    if by is None:
        return ""
    live, holder, owner = generations.current(), generations.holder(), generations.owner()
    # the host's owner decides, whoever made live what is live: it may have taken that over as it was
    whose = owner or (holder.owner if holder is not None and holder.resource != by.resource else "")
    if whose and not _same(whose, by.owner):
        return f"this host belongs to the stack {whose}, and not to {by.owner or 'the one that is destroyed'}"
    if holder is None or holder.resource == by.resource or not _same(holder.owner, by.owner):
        # made live by tools that did not ask by whom, by hand, by the one that asks, or by who had the host before
        return ""
    return f"generation {live} is live by another resource of this stack, which took the place of the one that goes"


def _same(owner: str, other: str) -> bool:
    """Whether two owners are the same stack, which may have been renamed: what counts is its claim."""
    return owner.rpartition("#")[2] == other.rpartition("#")[2]


def _begin() -> None:
    """From here on nobody else changes what is live, and whoever asked may go.

    What was begun ends healthy, or is taken back.
    """
    run.end_on_signals(hangup=False)
    say.go_on_alone()
    generations.lock()


class _Activation:
    """One change of what is live, under the lock."""

    def __init__(self) -> None:
        """What is ours is known, and whole."""
        self.changed: list[str] = []
        """Items that were mended or released."""
        self._claims = Claims.load()
        self._stores: Map = {}
        """States of store paths that were looked at already: hashing them takes its time."""
        self._interrupted = False
        self._wrong: list[str] = []
        self._seen: Map = {}

    def switch_to(self, new: Generation, by: Holder | None) -> None:
        """Make a generation live, and go back if it must be.

        While it runs, generations/pending holds the generation it came from, so that after a power cut the next
        activation restarts what may still run the old text and knows the way back.
        """
        _check_files(new)
        former = generations.current()
        pending = generations.pending()
        if pending is not None:
            former, self._interrupted = pending, True
        self._find_differences(new)
        self._clear_places(new)
        self._mend_stores()
        generations.begin(former)
        self._keep_or_go_back(new, former)
        generations.end()
        generations.record(new.id)
        if by is not None:
            generations.hold(by)
        tell(f"generation {new.id} is live: {len(self.changed)} changed")
        report(observed(manifest.plain(new), self._stores), self.changed)

    def _keep_or_go_back(self, new: Generation, former: str) -> None:
        """Make it live, unless it is unhealthy, or the system refuses what has to be written."""
        try:
            healthy = self._comes_up(new, _known(former))
        except OSError as error:
            status, why = refusal(error)
            say.complain([why])
            generations.give_room()
            # what was begun is what was written down, whatever this process was about to do
            self._claims = Claims.load()
            self._go_back(new, former, "cannot be put in place", status)
        if not healthy:
            # the disk may have become full meanwhile
            generations.give_room()
            self._go_back(new, former)

    def release_everything(self) -> None:
        """All that is ours goes, and what was found is back where it stood."""
        if generations.current():
            self.changed.append("generation")
        self._release_what_is_gone(None)
        self._claims.release_folders()
        files.remove(places.CURRENT)
        self._claims.forget_everything()

    def _go_back(
        self, failed: Generation, former: str, why: str = "is unhealthy", status: Exit = Exit.UNHEALTHY
    ) -> NoReturn:
        """Return to what was live before.

        Raises:
            HostToolError: always, with that status.
        """
        what = f"generation {failed.id} {why}"
        if former == failed.id:
            raise HostToolError(status, f"{what}, and there is no other to return to: it was live before")
        before = _known(former)
        if before is None:
            tell(f"{what}: putting back what was found")
            self.release_everything()
            generations.end()
            raise HostToolError(status, f"{what}; nothing of it is in service")
        tell(f"{what}: returning to {former}")
        self._interrupted = False
        self._find_differences(before)
        healthy = self._comes_up(before, failed)
        if healthy:
            generations.end()
        raise HostToolError(
            status, f"{what}; returned to {former}, which is {'healthy' if healthy else 'unhealthy too'}"
        )

    def _find_differences(self, generation: Generation) -> None:
        self._seen = observed(manifest.plain(generation), self._stores)
        self._wrong = [item for item, right in generation.live().items() if self._seen.get(item) != right]

    def _differs(self, item: str) -> bool:
        return item in self._wrong

    def _clear_places(self, generation: Generation) -> None:
        """An empty folder in the place of a link or file of ours gives way; another one is somebody's."""
        places_ = [(displaced.LINK, link.path) for link in _links(generation)]
        places_ += [(displaced.FILE, file.path) for unit in generation.units for file in unit.files]
        for kind, path in places_:
            ours = self._claims.has(displaced.LINK, path) or self._claims.has(displaced.FILE, path)
            in_the_way = ours and self._differs(f"{kind} {path}") and displaced.is_folder(path)
            if in_the_way and not displaced.remove_empty(path):
                raise HostToolError(
                    Exit.FAILED, f"{path} is a folder now: move it away, so that what belongs there can be put back"
                )

    def _mend_stores(self) -> None:
        """Make missing and damaged store paths again, from their kept manifests, before anything is touched."""
        for item in [item.partition(" ")[2] for item in self._wrong if item.startswith("store ")]:
            path = f"{places.STORE}/{item}"
            tell(f"{item} is {self._stores[item]}: making it again")
            damaged = f"{places.STORE}/.damaged-{item}.{os.getpid()}"
            if os.path.isdir(path):
                os.rename(path, damaged)
            try:
                _make_again(item)
            except BaseException:
                # better a damaged one than none, for what is in service
                if os.path.isdir(damaged) and not os.path.isdir(path):
                    os.rename(damaged, path)
                raise
            files.remove(damaged)
            self._stores[item] = store.state(path)

    def _comes_up(self, new: Generation, former: Generation | None) -> bool:
        """Make it live, and ask it: whether it is healthy."""
        since = time.time()
        return self._make_live(new, former) and _healthy(new, since)

    def _make_live(self, new: Generation, former: Generation | None) -> bool:
        """Act on the differences and nothing else; whether the board takes what is set of it."""
        self.changed += self._wrong
        restarts = [unit.name for unit in new.units if self._must_restart(unit, new, former)]
        self._release_what_is_gone(new)
        # what is right already was perhaps put there before /opt/pollex was lost: it is ours all the same
        self._claim(new)
        self._place(new)
        if self._differs("generation"):
            files.link(f"generations/{new.id}", places.CURRENT)
        if any(self._differs(f"unit {unit.name}") for unit in new.units) or any(
            _is_systemds(file.path) and self._differs(f"file {file.path}") for unit in new.units for file in unit.files
        ):
            systemd.reload()
        try:
            board.put_in_force(new.settings)
        except HostToolError as error:
            say.complain(error.lines)
            return False
        for unit in new.units:
            if self._differs(f"service {unit.name}"):
                systemd.enable(unit.name)
        for name in restarts:
            tell(f"restarting {name}")
            systemd.restart(name)
        return True

    def _place(self, new: Generation) -> None:
        """Put units, links and files where they belong, each in one step."""
        for unit in new.units:
            if self._differs(f"unit {unit.name}"):
                files.write(f"{places.UNITS}/{unit.name}", unit.text)
        for link in _links(new):
            if self._differs(f"link {link.path}"):
                files.link(link.target, link.path)
        for unit in new.units:
            for file in unit.files:
                if self._differs(f"file {file.path}"):
                    # with its mode from the first moment on
                    files.write(file.path, generations.content(new, file), int(file.mode, 8))

    def _claim(self, new: Generation) -> None:
        """Units before what they start and read, so that one of a former life is known by it."""
        for unit in new.units:
            self._claims.claim_unit(unit.name, unit.text)
        for unit in new.units:
            for link in unit.links:
                self._claims.claim_link(link.path)
            for file in unit.files:
                self._claims.claim_file(file.path, generations.content(new, file))
        for setting in new.settings:
            self._claims.claim_setting(setting.name)

    def _must_restart(self, unit: Unit, new: Generation, former: Generation | None) -> bool:
        """Whether a unit's process does not run what it should.

        That is other text, other store paths or files, one of them or a link that was mended, not active, or unknown
        after an interruption. To be disabled is no reason.
        """
        if self._interrupted or self._differs(f"unit {unit.name}"):
            return True
        if self._differs(f"service {unit.name}") and not self._seen.get(f"service {unit.name}", "").startswith(
            "active"
        ):
            return True
        before = next((each for each in former.units if each.name == unit.name), None) if former else None
        if _runs_from(unit) != _runs_from(before):
            return True
        return any(self._differs(f"file {file.path}") for file in unit.files) or any(
            self._differs(f"store {item}") or any(self._differs(f"link {link.path}") for link in _links_into(new, item))
            for item in unit.needs
        )

    def _release_what_is_gone(self, new: Generation | None) -> None:
        """Units, links and files of ours that this generation does not have; None has nothing."""
        units = new.units if new else ()
        have = {
            displaced.UNIT: {unit.name for unit in units},
            displaced.LINK: {link.path for unit in units for link in unit.links},
            displaced.FILE: {file.path for unit in units for file in unit.files},
            displaced.SETTING: {setting.name for setting in new.settings} if new else set(),
        }
        release = {
            displaced.UNIT: self._claims.release_unit,
            displaced.LINK: self._claims.release_link,
            displaced.FILE: self._claims.release_file,
            displaced.SETTING: self._claims.release_setting,
        }
        gone = [(kind, place) for kind, stay in have.items() for place in self._claims.of(kind) if place not in stay]
        # the mode of the board comes after the clocks, which were stored in that mode
        for kind, place in sorted(gone, key=lambda one: (list(have).index(one[0]), board.undone_at(one[1]))):
            release[kind](place)
            self.changed.append(f"{kind} {place}")
        if any(kind == displaced.FILE and _is_systemds(place) for kind, place in gone):
            systemd.reload()


def _known(name: str) -> Generation | None:
    """A former generation, as far as there is one that can be returned to."""
    if not name or not generations.exists(name):
        return None
    try:
        return generations.load(name)
    except HostToolError as error:
        say.complain(error.lines)
        return None


def _check_files(generation: Generation) -> None:
    """Every file that it places is kept, whole: nothing changes otherwise."""
    for unit in generation.units:
        for file in unit.files:
            generations.content(generation, file)


def _is_systemds(path: str) -> bool:
    """Whether systemd reads a file, such as a drop-in of somebody's unit."""
    return path.startswith(f"{places.UNITS}/")


def _links(generation: Generation) -> Iterator[Link]:
    for unit in generation.units:
        yield from unit.links


def _links_into(generation: Generation, item: str) -> Iterator[Link]:
    path = f"{places.STORE}/{item}"
    return (link for link in _links(generation) if link.target == path or link.target.startswith(f"{path}/"))


def _runs_from(unit: Unit | None) -> tuple[list[str], list[tuple[str, str, str]]]:
    """The store paths and files that its process holds."""
    if unit is None:
        return [], []
    return sorted(unit.needs), sorted((file.path, file.mode, file.sha256) for file in unit.files)


def _healthy(generation: Generation, since: float) -> bool:
    """Whether every unit of it, each of which was started after that moment if at all, passes its gate."""
    return all(
        gate.passes(unit.name, unit.gate.health, unit.gate.completion, unit.gate.seconds, since=since)
        for unit in generation.units
        if unit.gate is not None
    )


_MAKERS: Final[dict[str, str]] = {Build.kind: "ensure", Bundle.kind: "ensure-bundle"}


def _make_again(item: str) -> None:
    """Let the tools make a store path from its kept manifest.

    Raises:
        HostToolError: there is none.
        Ended: it could not be made, and was said why.
    """
    try:
        stored = kept.load(item)
    except HostToolError as error:
        raise HostToolError(Exit.FAILED, *error.lines) from None
    verb = _MAKERS.get(stored.kind, "ensure-model")
    command = ["sh", f"{places.HERE}/pollex-host", verb, stored.key]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=False)
    if done.returncode:
        raise Ended(done.returncode)
