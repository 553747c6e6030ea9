"""`pollex polish` as the filter of an editor, and texts as editors and other systems write them."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import SOON, Pollex, Scripted, running_service

Script = Callable[..., Scripted]

TEXT = "I recieve teh card – today.\r\nteh end\r\n"
POLISHED = "I receive the card – today.\r\nthe end\r\n"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_keeps_the_encoding(pollex: Pollex, service: str, encoding: str) -> None:
    """If this fails, a text that Windows wrote is refused, or comes back as something else."""
    done = pollex.at(service)("polish", stdin=TEXT.encode(encoding))
    assert (done.returncode, done.stdout, done.stderr) == (0, POLISHED.encode(encoding), b"")


def test_utf_16_that_is_none(pollex: Pollex) -> None:
    """If this fails, half a file is polished, or ends in a traceback."""
    done = pollex("polish", stdin=TEXT.encode("utf-16")[:-1])
    assert (done.returncode, done.stdout) == (3, b"")
    assert b"looks like UTF-16-LE, but byte " in done.stderr


@pytest.mark.parametrize("arguments", [[], ["--stream"], ["-m", "m"]])
def test_a_failing_filter_gives_the_text_back(pollex: Pollex, arguments: list[str]) -> None:
    """If this fails, a board that is off turns somebody's letter into an error message."""
    text = b"\xef\xbb\xbf\r\nteh \xff end\n"
    for stdin in (b"teh\n", text):
        done = pollex("polish", "--editor", *arguments, stdin=stdin)
        assert (done.stdout, done.stderr) == (stdin, b"")
        assert done.returncode in (3, 5)


def test_a_wrong_configuration_does_not_eat_the_text(pollex: Pollex, tmp_path: Path) -> None:
    """If this fails, a typing mistake in a file turns somebody's letter into an error message."""
    (tmp_path / "pollex").mkdir()
    (tmp_path / "pollex" / "config.toml").write_text("nonsense")
    done = pollex("polish", "--editor", stdin=b"teh\n")
    assert (done.returncode, done.stdout, done.stderr) == (2, b"teh\n", b"")


def test_an_interrupted_filter_gives_the_text_back(pollex: Pollex, tmp_path: Path) -> None:
    """If this fails, ^C while an editor waits erases the selection."""
    with running_service(tmp_path, mock_delay_ms=3_600_000) as url:
        process = pollex.at(url).start("polish", "--editor", stdin=b"teh end\n")
        log = tmp_path / "service.log"
        while '"path": "/api/models"' not in log.read_text():
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=SOON) == (b"teh end\n", b"")
    assert process.returncode == 130
