"""That no input ends the patched llama-servers, the sandbox's and the image's, while they embed with a real model."""

from __future__ import annotations

import re
from pathlib import Path

import httpx
import pytest

from sandbox import minilm
from tests.embeddings.sentences import TOO_LONG
from tests.embeddings.serving import serving

POOLINGS = ["mean", "cls", "last"]


def ask(url: str, texts: str | list[str]) -> httpx.Response:
    return httpx.post(f"{url}/v1/embeddings", json={"input": texts}, timeout=60)


@pytest.mark.parametrize("batch", ["512", "1024"])
def test_says_that_an_input_is_too_long(either: Path, batch: str) -> None:
    """If this fails, one long document looks like a fault of the server, or ends it for everybody."""
    with serving(either, minilm.model("Q8_0"), "--ubatch-size", batch, "--ctx-size", "2048") as url:
        refused = ask(url, ["short", TOO_LONG])
        assert ask(url, TOO_LONG.rpartition(" ")[0]).is_success
    assert refused.status_code == 400
    error = refused.json()["error"]
    assert (error["code"], error["type"]) == (400, "invalid_request_error")
    what = re.escape("input is too large to process: it has 513 tokens (index 1), but the model takes 512")
    assert re.fullmatch(rf"{what}, the context .* is \d+ and the physical batch size is {batch}", error["message"])


def test_says_that_a_slot_is_too_small(either: Path) -> None:
    """If this fails, nobody learns that the context is shared among the slots."""
    with serving(either, minilm.model("Q8_0"), "--parallel", "2", "--ctx-size", "512") as url:
        refused = ask(url, "food " * 255)
        assert ask(url, "food " * 254).is_success
    assert refused.status_code == 400
    assert "it has 257 tokens (index 0)" in refused.json()["error"]["message"]
    assert "the context size per slot is 256" in refused.json()["error"]["message"]


@pytest.mark.parametrize("pooling", POOLINGS)
def test_embeds_long_inputs_at_the_same_time(either: Path, pooling: str) -> None:
    """If this fails, two clients at the same time end the server."""
    options = ["--pooling", pooling, "--parallel", "4", "--ctx-size", "2048"]
    with serving(either, minilm.model("Q8_0"), *options) as url:
        assert len(ask(url, ["food " * 400] * 4).raise_for_status().json()["data"]) == 4


@pytest.mark.parametrize("pooling", POOLINGS)
def test_embeds_a_short_word_in_every_slot(either: Path, pooling: str) -> None:
    """If this fails, the fourth search for one word ends the server."""
    with serving(either, minilm.model("Q8_0"), "--pooling", pooling, "--parallel", "8", "--ctx-size", "4096") as url:
        for word in ("one", "red", "cat", "sun", "two", "car", "sea", "sky", "tea"):
            assert ask(url, word).is_success
