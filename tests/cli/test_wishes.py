"""`pollex polish`: what a text is to become, what is to stay of it, and what was not done to it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Answer, Pollex, Scripted

Script = Callable[..., Scripted]

PLACE = {"kind": "wording", "reason": "x"}
CHANGES = [
    {"start": 0, "end": 2, "before": "on", "after": "One", "verdict": "taken", "message": "It is.", **PLACE},
    {"start": 3, "end": 6, "before": "too", "after": "to", "verdict": "offered", "message": "Not sure.", **PLACE},
    {"start": 7, "end": 12, "before": "Berta", "after": "", "verdict": "refused", "message": "A name.", **PLACE},
]
KEPT = [{"start": 13, "end": 29, "reason": "x", "message": "It was answered."}]
TEXT = b"\non\ntoo\nBerta\nWhat is the time?\n"
ANSWER = Answer.json(
    200,
    {
        "polished": "One\ntoo\nBerta\nWhat is the time?",
        "model": "m",
        "elapsed_ms": 1,
        "changes": CHANGES,
        "kept": KEPT,
    },
)


def test_wishes_reach_the_service(pollex: Pollex, scripted: Script, tmp_path: Path) -> None:
    """If this fails, names that a person always keeps are polished away, or a mode has no effect."""
    server = scripted(ANSWER)
    at = pollex.at(server.url)

    def asked(*arguments: str, **env: str) -> tuple[object, object]:
        done = at("polish", "-m", "m", *arguments, stdin=b"text", env=env)
        assert done.returncode == 0, done.stderr
        body = server.asked.pop().body
        return body.get("mode"), body.get("keep")

    assert asked() == (None, None)
    assert asked("--mode", "formal", "-k", "Ann", "-k", "Kubernetes") == ("formal", ["Ann", "Kubernetes"])
    (tmp_path / "pollex").mkdir()
    (tmp_path / "pollex" / "config.toml").write_text('mode = "correct"\n')
    (tmp_path / "pollex" / "keep.txt").write_text("# friends\nAnn\n\n  Ann Lee \nC#\n")
    assert asked("-k", "Bob") == ("correct", ["Bob", "Ann", "Ann Lee", "C#"])
    assert asked(POLLEX_MODE="plain")[0] == "plain"
    at("polish", "-m", "m", "--quoted", stdin=b"text")
    assert server.asked.pop().body["quoted"] is True
    assert asked("--mode", "formal", POLLEX_MODE="plain")[0] == "formal"


def test_a_list_that_cannot_be_read(pollex: Pollex, scripted: Script, tmp_path: Path) -> None:
    """If this fails, names are polished away because a file was damaged."""
    (tmp_path / "pollex" / "keep.txt").mkdir(parents=True)
    done = pollex.at(scripted(ANSWER).url)("polish", "-m", "m", stdin=b"text")
    assert (done.returncode, done.stdout) == (2, b"")
    assert b"keep.txt cannot be read" in done.stderr


def test_a_diff_tells_what_was_not_done(pollex: Pollex, scripted: Script) -> None:
    """If this fails, nobody learns what else was proposed, or that a paragraph was left as it was and why."""
    done = pollex.at(scripted(ANSWER).url)("polish", "-m", "m", "--diff", stdin=TEXT)
    assert done.stdout.decode() == (
        "\n[-on-]{+One+}\ntoo\nBerta\nWhat is the time?\n"
        "\nOffered, not taken:\n  line 3: “too” → “to” (wording). Not sure.\n"
        "Refused:\n  line 4: “Berta” → nothing (wording). A name.\n"
        "Left as it was:\n  line 5: “What is the time”. It was answered.\n"
    )


def test_a_person_is_told_at_a_terminal(pollex: Pollex, scripted: Script) -> None:
    """If this fails, a person takes a paragraph that nobody looked at for one without mistakes."""
    seen = pollex.at(scripted(ANSWER).url).on_a_terminal("polish", "-m", "m", stdin=TEXT)
    assert "pollex: line 5 stayed as it was. It was answered." in seen
    assert "1 more offered and not taken; --diff shows them" in seen
    assert pollex.at(scripted(ANSWER).url)("polish", "-m", "m", stdin=TEXT).stderr == b""


def test_modes_are_listed_and_completed(pollex: Pollex, service: str) -> None:
    """If this fails, nobody learns what to write after --mode."""
    listed = pollex.at(service)("modes").stdout.decode().splitlines()
    assert [row.split("\t")[0] for row in listed] == ["correct", "polish", "shorten", "formal", "plain"]
    assert [row.split("\t")[2] for row in listed] == ["", "default", "", "", ""]
    words = {"COMP_WORDS": f"pollex polish --url {service} --mode sh", "COMP_CWORD": "5"}
    done = pollex(env={"_POLLEX_COMPLETE": "bash_complete", **words})
    assert done.stdout.decode().strip() == "plain,shorten"


@pytest.mark.parametrize("mode", ["correct", "shorten"])
def test_a_real_service_knows_the_modes(pollex: Pollex, service: str, mode: str) -> None:
    """If this fails, the command and the service mean different things by a mode."""
    assert pollex.at(service)("polish", "--mode", mode, stdin=b"teh").returncode == 0
    done = pollex.at(service)("polish", "--mode", "rude", stdin=b"teh")
    assert (done.returncode, b"unknown mode: rude (there are correct, " in done.stderr) == (3, True)
