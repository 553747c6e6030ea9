"""What every test can use: golden files named as the text is deployed; and what each test needs of the machine."""

from __future__ import annotations

import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, settings
from syrupy.extensions.single_file import SingleFileSnapshotExtension, WriteMode
from syrupy.location import PyTestLocation

from sandbox import machine
from tests.needs import FOREIGN, needs

if TYPE_CHECKING:
    from syrupy.assertion import SnapshotAssertion
    from syrupy.types import SnapshotIndex

Golden = Callable[[str, str], None]

# a property holds or not; how long an example takes says how busy the machine is
settings.register_profile("pollex", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("pollex")

# what runs in the background of a script ignores ^C, and with nohup more, and so would all that the tests start
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


class NamedAsDeployed(SingleFileSnapshotExtension):
    """`__snapshots__/<test file>/<the name given>`, as text, with no decoration: the file is what the host gets."""

    _write_mode = WriteMode.TEXT
    file_extension = ""

    @classmethod
    def get_location(cls, *, test_location: PyTestLocation, index: SnapshotIndex) -> str:
        """The golden file's path; the name may hold folders."""
        return str(Path(cls.dirname(test_location=test_location)) / str(index))

    @classmethod
    def matches_test_location(cls, *, test_location: PyTestLocation, snapshot_location: str) -> bool:
        """Whether a golden file can be this test's: it lies in the test file's folder."""
        return Path(cls.dirname(test_location=test_location)) in Path(snapshot_location).parents


@pytest.fixture
def golden(snapshot: SnapshotAssertion) -> Golden:
    """`golden(name, text)`: the text is byte for byte the reviewed file; `make golden` writes it anew."""
    files = snapshot.with_defaults(extension_class=NamedAsDeployed)

    def check(name: str, text: str) -> None:
        assert files(name=name) == text

    return check


COMMANDS = pytest.StashKey[set[str]]()
"""What a test's file calls besides what every machine has."""

MAKERS = frozenset({"board", "engine", "slow"})
"""Marks of tests whose first one may have to make what is kept: an image, a server, a board's root, the engine."""
MAKING_SECONDS = 3600
"""What they may take instead of pyproject.toml's `timeout`: the image took over 900 s beside two other tiers' compiles
on two cores, and a test that only waits for it hangs no worse for it."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give each test the marks of what it needs."""
    for item in items:
        fixtures = getattr(item, "fixturenames", ())
        try:
            marks, commands = needs(item.path, fixtures, [mark.name for mark in item.iter_markers()])
        except LookupError as error:
            raise pytest.UsageError(str(error)) from None
        item.stash[COMMANDS] = commands
        for mark in marks:
            item.add_marker(mark)
        if marks & MAKERS:
            item.add_marker(pytest.mark.timeout(MAKING_SECONDS))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """See that the machine has what the test needs; what Debian packages carry is installed, or named."""
    if item.get_closest_marker("board"):
        _there("board")
    elif item.get_closest_marker("root"):
        _there("root")
    if item.get_closest_marker("engine"):
        _there("engine")
    commands = item.stash[COMMANDS]
    for command in sorted(commands):
        _there(command)


def _there(what: str) -> None:
    if (wrong := _lacking(what)) is not None:
        pytest.fail(wrong, pytrace=False)


@cache
def _lacking(what: str) -> str | None:
    """What is wrong, or None; asked once for each need."""
    try:
        if what == "board":
            machine.require()
        elif what == "root":
            machine.require_root()
        elif what == "engine":
            machine.run([sys.executable, "-m", "infra.toolchain"])
        else:
            machine.bring(what)
    except machine.SandboxError as error:
        return str(error)
    return None


_unit: list[str] = []
"""The `unit` test that runs, if any."""


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """Note which test runs, for `_watch`."""
    _unit[:] = [item.nodeid] if item.get_closest_marker("unit") else []
    try:
        yield
    finally:
        _unit.clear()


def _watch(event: str, arguments: tuple[Any, ...]) -> None:
    """Refuse what a test must not start that says it needs neither root nor a board nor an engine."""
    if event != "subprocess.Popen" or not _unit:
        return
    program = str(arguments[1][0])
    # a test's own stand-in for it is no harm
    if FOREIGN.fullmatch(program) and (shutil.which(program) or program).startswith(("/usr/", "/bin/", "/sbin/")):
        raise AssertionError(f"{_unit[0]} starts {program}, so it is no unit test: see tests/needs.py")


sys.addaudithook(_watch)
