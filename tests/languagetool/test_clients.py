"""Programs that were written for LanguageTool, as they come from their registries."""

from __future__ import annotations

import httpx
import language_tool_python
import pytest
from language_tool_python.exceptions import LanguageToolError

from tests.service.conftest import Llama, Start
from tests.service.test_llama import SETTINGS, ready
from tests.waiting import wait_until

TEXT = "I recieve teh card and teh end."


def test_language_tool_python(start: Start) -> None:
    """If this fails, scripts that use the most common client for Python cannot use the service."""
    with language_tool_python.LanguageTool("en-US", remote_server=start().url) as tool:
        found = tool.check(TEXT)
        assert [match.replacements for match in found] == [["receive"], ["the"], ["the"]]
        assert [match.matched_text for match in found] == ["recieve", "teh", "teh"]
        assert {match.category for match in found} == {"TYPOS"}
        assert tool.correct(TEXT) == "I receive the card and the end."
        tool.disable_spellchecking()
        assert tool.check(TEXT) == []


def test_language_tool_python_is_told_what_is_wrong(start: Start) -> None:
    """If this fails, a script goes on as if a text without an answer were a good one."""
    service = start(check_max_chars=10)
    with (
        language_tool_python.LanguageTool("en-US", remote_server=service.url) as tool,
        pytest.raises(LanguageToolError, match="exceeds the limit of 10 characters"),
    ):
        tool.check(TEXT)


def test_language_tool_python_with_a_real_model(llama: Llama, start: Start) -> None:
    """If this fails, clients work with what tests invent and not with a model."""
    service = start(llamacpp_url=llama.url, check_seconds=300, **SETTINGS)
    wait_until(lambda: ready(service.url))
    with language_tool_python.LanguageTool("en-US", remote_server=service.url) as tool:
        mended = tool.correct("She go to the libary yesterday and forgeted her umbrela.")
    assert "library" in mended
    assert "umbrella" in mended
    assert httpx.get(f"{service.url}/metrics").text.count('pollex_check_paragraphs_total{by="model"} 1.0') == 1
