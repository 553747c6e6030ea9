"""Debian's LibreOffice, whose own remote grammar checker is pointed at the service."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import httpx

from tests.service.conftest import Llama, Start
from tests.service.test_llama import SETTINGS

SCRIPT = Path(__file__).parent / "writer.py"
PATIENCE = 300
"""Seconds after which LibreOffice hangs."""


def settings(**given: str) -> str:
    """LibreOffice's settings, as its dialog writes them."""
    place = "/org.openoffice.Office.Linguistic/GrammarChecking/LanguageTool"
    items = "".join(
        f'<item oor:path="{place}"><prop oor:name="{name}" oor:op="fuse"><value>{escape(value)}</value></prop></item>'
        for name, value in given.items()
    )
    return (
        '<?xml version="1.0" encoding="UTF-8"?><oor:items xmlns:oor="http://openoffice.org/2001/registry" '
        'xmlns:xs="http://www.w3.org/2001/XMLSchema" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">'
        f"{items}</oor:items>"
    )


def written(home: Path, text: str, **given: str) -> dict[str, Any]:
    """What LibreOffice marks in a text, and the text with its suggestions."""
    (home / "user").mkdir(parents=True)
    (home / "user" / "registrymodifications.xcu").write_text(settings(IsEnabled="true", **given))
    address = f"pipe,name=pollex-{home.parent.name}-{home.name}"
    office = subprocess.Popen(
        [
            *("soffice", "--headless", "--norestore", "--nologo"),
            *(f"-env:UserInstallation=file://{home}", f"--accept={address};urp"),
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        process_group=0,
    )
    try:
        done = subprocess.run(
            ["/usr/bin/python3", str(SCRIPT), address, text],
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        office.wait(timeout=PATIENCE)
        return dict(json.loads(done.stdout))
    finally:
        if office.poll() is None:
            subprocess.run(["kill", "--", f"-{office.pid}"], check=False)
            office.wait(timeout=PATIENCE)


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
