"""The author's choice: modes, words to keep, and being told what became of each change."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pollex import prompts
from pollex.settings import SettingsError, load
from pollex.words import MODES
from tests.service.conftest import Client
from tests.service.scripted import MODEL, Scripted, chunk, stream
from tests.waiting import wait_until

GOOD = {"text": "teh end", "model_id": "mock"}


def test_an_old_client_gets_the_old_answer(client: Client) -> None:
    """If this fails, a client that was written before there were changes is sent what it does not know."""
    assert client().post("/api/polish", json=GOOD).json().keys() == {"polished", "model", "elapsed_ms"}
    events = client().post("/api/polish", json=GOOD | {"stream": True}).text
    assert {line for line in events.splitlines() if line.startswith("event:")} == {"event: delta", "event: done"}


def test_a_client_may_ask_for_less(client: Client) -> None:
    """If this fails, a client that wants a mode and no list pays for the list."""
    answer = client().post("/api/polish", json=GOOD | {"mode": "correct", "changes": False}).json()
    assert answer.keys() == {"polished", "model", "elapsed_ms"}


def test_quoted_mail_is_polished_on_wish_only(client: Client) -> None:
    """If this fails, somebody else's words are altered in an answer to them, or cannot be where that is wanted."""
    text = "teh end\n\n> teh start\n"
    plain, quoted = (
        client().post("/api/polish", json=GOOD | {"text": text, **more}).json()["polished"]
        for more in ({}, {"quoted": True})
    )
    assert (plain, quoted) == ("the end\n\n> teh start\n", "the end\n\n> the start\n")


def test_modes_are_offered(client: Client, tmp_path: Path) -> None:
    """If this fails, the page and the command have no list to choose from."""
    (tmp_path / "mine.txt").write_text("Write as a pirate.")
    told = client(modes={"pirate": str(tmp_path / "mine.txt")}).get("/api/modes").json()
    assert [mode["id"] for mode in told] == [*MODES, "pirate"]
    assert [mode["id"] for mode in told if mode["default"]] == ["polish"]
    assert all(mode["name"] for mode in told)


@pytest.mark.parametrize("mode", [None, *MODES, "pirate"])
@pytest.mark.parametrize("size", ["polish", "polish-small"])
def test_the_mode_decides_what_the_model_is_told(
    client: Client, scripted: Scripted, tmp_path: Path, mode: str | None, size: str
) -> None:
    """If this fails, whoever asks for a correction gets something else."""
    (tmp_path / "mine.txt").write_text("Write as a pirate.")
    scripted.answers["/v1/chat/completions"] = stream(chunk("She said so."), chunk(reason="stop"))
    api = client(llamacpp_url=scripted.url, prompt_path=size, modes={"pirate": str(tmp_path / "mine.txt")})
    scripted.asked.clear()
    asked = {"text": "she sayd so", "model_id": MODEL, "mode": mode}
    assert api.post("/api/polish", json=asked).status_code == 200
    told = prompts.of_modes(size, {"pirate": str(tmp_path / "mine.txt")})[mode or "polish"]
    sent = scripted.sent()[-1]["messages"]
    assert [message["content"] for message in sent] == [told.system, told.user("she sayd so")]


def test_warmed_up_for_the_default(client: Client, scripted: Scripted) -> None:
    """If this fails, the first who names no mode waits for the prompt to be read."""
    client(llamacpp_url=scripted.url, prompt_path="polish-small")
    wait_until(lambda: scripted.sent() != [])
    assert scripted.sent()[0]["messages"][-1]["content"] == prompts.load("polish-small").user("")


def test_each_mode_has_a_prompt_of_its_own() -> None:
    """If this fails, two modes are the same."""
    for size in ("polish", "polish-small"):
        told = prompts.of_modes(size)
        assert [*told] == [*MODES]
        assert len(set(told.values())) == len(MODES)
    assert prompts.TITLES.keys() == set(MODES)


@pytest.mark.parametrize(
    ("asked", "code", "words"),
    [
        ({"mode": "rude"}, "mode_unknown", "unknown mode: rude (there are correct, polish, "),
        ({"mode": 1}, "invalid_body", "invalid JSON body: mode: "),
        ({"keep": "Ann"}, "invalid_body", "invalid JSON body: keep: "),
        ({"keep": [""]}, "invalid_body", "invalid JSON body: keep.0: "),
        ({"keep": ["x"] * 501}, "invalid_body", "invalid JSON body: keep: "),
        ({"quoted": 1}, "invalid_body", "invalid JSON body: quoted: "),
        ({"changes": "yes"}, "invalid_body", "invalid JSON body: changes: "),
    ],
)
def test_wrong_wishes(client: Client, asked: dict[str, Any], code: str, words: str) -> None:
    """If this fails, a wish that is not understood is passed over in silence, or refused without a reason."""
    response = client().post("/api/polish", json=GOOD | asked)
    assert (response.status_code, response.json()["code"]) == (400, code)
    assert response.json()["error"].startswith(words)


def test_modes_of_ones_own_that_are_none(tmp_path: Path) -> None:
    """If this fails, a service starts with a mode that fails for everybody who chooses it."""
    modes = {"pirate": str(tmp_path / "nowhere"), "Not A Name": str(tmp_path)}
    with pytest.raises(SettingsError, match=r"modes\.Not A Name"):
        load(None, {"mock": True, "modes": modes})
    del modes["Not A Name"]
    with pytest.raises(SettingsError, match=r"modes\.pirate: '.*nowhere' cannot be read"):
        load(None, {"mock": True, "modes": modes})


@pytest.mark.parametrize("asked", [{"changes": True}, {"mode": "correct"}, {"keep": ["Ann"]}, {"keep": []}])
def test_what_became_of_each_change(client: Client, asked: dict[str, Any]) -> None:
    """If this fails, a program cannot show what was changed, or why something was not."""
    answer = client().post("/api/polish", json=GOOD | asked).json()
    assert answer["kept"] == []
    (change,) = answer["changes"]
    assert (change["start"], change["end"], change["before"], change["after"]) == (0, 3, "teh", "the")
    assert change["verdict"] == "taken"
    assert change.keys() == {"start", "end", "before", "after", "kind", "verdict", "reason", "message"}
    assert change["message"].endswith(".")


def test_settled_parts(client: Client) -> None:
    """If this fails, a page must wait for the end before it may show anything that stays."""
    text = "teh end\n\n```\nteh\n```\n\nteh start\n"
    events = client().post("/api/polish", json=GOOD | {"text": text, "stream": True, "changes": True}).text
    blocks = [block.split("\n") for block in events.strip().split("\n\n")]
    told = [(name[7:], json.loads(data[6:])) for name, data in blocks]
    settled = [data for name, data in told if name == "settled"]
    assert [part["start"] for part in settled] == [0, *(part["end"] for part in settled)][:-1]
    assert settled[-1]["end"] == len(text)
    name, done = told[-1]
    assert name == "done"
    assert "".join(part["text"] for part in settled) == done["polished"]
    assert [change for part in settled for change in part["changes"]] == done["changes"]
    assert all(text[change["start"] : change["end"]] == change["before"] for change in done["changes"])
