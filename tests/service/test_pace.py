"""The longest text that is accepted, and the time that it would take."""

from __future__ import annotations

import logging

import pytest

from pollex.pace import Pace
from pollex.settings import Settings
from tests.service.conftest import Client
from tests.service.scripted import Scripted, chunk, stream

SETTINGS = Settings(mock=True, max_chars=10_000, request_timeout=120)


def test_a_contradiction_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    """If this fails, a board accepts texts that it cannot finish, and nobody learns which setting to change."""
    pace = Pace("slow", SETTINGS)
    pace.took(100, 5)
    assert not caplog.records, "one sentence is no pace"
    for _ in range(3):
        pace.took(400, 45)
    (said,) = caplog.records
    assert said.levelno == logging.WARNING
    told = vars(said)
    assert (told["model"], told["characters_per_second"]) == ("slow", 10.0)
    assert (told["max_chars_that_fits"], told["request_timeout_needed"]) == (1140, 1053)


def test_a_fast_model_is_left_alone(caplog: pytest.LogCaptureFixture) -> None:
    """If this fails, the log of every service warns of a trouble that it has not."""
    Pace("fast", SETTINGS).took(20_000, 200)
    assert not caplog.records


def test_texts_are_timed(client: Client, scripted: Scripted, monkeypatch: pytest.MonkeyPatch) -> None:
    """If this fails, the pace is that of what no model saw, and the advice is wrong."""
    seen: list[int] = []
    monkeypatch.setattr(Pace, "took", lambda _, characters, __: seen.append(characters))
    scripted.answers["/v1/chat/completions"] = stream(chunk("She said."), chunk(reason="stop"))
    text = "She sayd.\n\n```\ncode that nobody sees\n```\n"
    client(llamacpp_url=scripted.url).post("/api/polish", json={"text": text, "model_id": "llama.cpp"})
    assert seen == [len("She sayd.")]
