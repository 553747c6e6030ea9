"""Debian's LibreOffice, whose own remote grammar checker is pointed at the service."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx

from tests.languagetool.office import PATIENCE, driven
from tests.service.conftest import Llama, Start
from tests.service.test_llama import SETTINGS

SCRIPT = Path(__file__).parent / "writer.py"


def written(home: Path, text: str, **given: str) -> dict[str, Any]:
    """What LibreOffice marks in a text, and the text with its suggestions."""
    return dict(json.loads(driven(home, SCRIPT, text, **given)))


def test_marks_and_mends(start: Start, tmp_path: Path) -> None:
    """If this fails, whoever connects LibreOffice sees no line under a mistake, or in a wrong place."""
    service = start(api_key="of-the-board")
    url = f"{service.url}/v2"
    told = written(
        tmp_path / "office", "I recieve teh 😀 card and teh end.", BaseURL=url, Username="me", ApiKey="of-the-board"
    )
    assert [(error["marked"], error["suggestions"]) for error in told["errors"]] == [
        ("recieve", ["receive"]),
        ("teh", ["the"]),
        ("teh", ["the"]),
    ]
    assert told["text"] == "I receive the 😀 card and the end."
    assert told["checkers"] == ["org.openoffice.lingu.LanguageToolGrammarChecker"]


def test_with_a_real_model(llama: Llama, start: Start, tmp_path: Path) -> None:
    """If this fails, LibreOffice works with what tests invent and not with a model."""
    service = start(llamacpp_url=llama.url, check_seconds=300, **SETTINGS)
    text = "She go to the libary yesterday and forgeted her umbrela."
    # LibreOffice waits for ten seconds, which a busy machine may not keep: as on a slow board it asks again.
    asked = {"text": text, "language": "en-US"}
    assert httpx.post(f"{service.url}/v2/check", data=asked, timeout=PATIENCE).status_code == 200
    told = written(tmp_path / "office", text, BaseURL=f"{service.url}/v2")
    assert "umbrela" in [error["marked"] for error in told["errors"]]
    assert "library" in told["text"]
    assert "umbrella" in told["text"]
