"""What clients of an OpenAI-compatible server, such as those of port 11434, send to llama-server and read from it."""

from __future__ import annotations

import base64
import re
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from sandbox import minilm
from tests.embeddings.compare import cosine
from tests.embeddings.serving import serving

ALIAS = "all-minilm"


@pytest.fixture(scope="module")
def client(either: Path) -> Iterator[httpx.Client]:
    options = ["--pooling", "mean", "--alias", ALIAS]
    with serving(either, minilm.model("Q8_0"), *options) as url, httpx.Client(base_url=url, timeout=60) as client:
        yield client


def ask(client: httpx.Client, **question: Any) -> Any:
    return client.post("/v1/embeddings", json={"model": ALIAS, **question}).raise_for_status().json()


def test_models_are_named_as_clients_know_them(client: httpx.Client) -> None:
    """If this fails, a client that looks for its model in the list finds a file's path and gives up."""
    answer = client.get("/v1/models").raise_for_status().json()
    assert answer["object"] == "list"
    (entry,) = answer["data"]
    assert (entry["id"], entry["object"]) == (ALIAS, "model")
    assert isinstance(entry["created"], int)
    assert isinstance(entry["owned_by"], str)


def test_one_text(client: httpx.Client) -> None:
    """If this fails, clients of OpenAI's API cannot read the answer."""
    answer = ask(client, input="A man is eating food.")
    vector = answer["data"][0].pop("embedding")
    assert answer == {
        "object": "list",
        "model": ALIAS,
        "data": [{"object": "embedding", "index": 0}],
        "usage": {"prompt_tokens": 8, "total_tokens": 8},
    }
    assert len(vector) == minilm.DIMENSIONS
    assert sum(number * number for number in vector) == pytest.approx(1, abs=1e-5)


def test_many_texts_keep_their_order(client: httpx.Client) -> None:
    """If this fails, every entry of an index that is filled in batches is another's."""
    texts = ["food", "a car on the road", "x = f(y)", "", "food"]
    answer = ask(client, input=texts)
    assert [entry["index"] for entry in answer["data"]] == [0, 1, 2, 3, 4]
    assert answer["usage"]["prompt_tokens"] == sum(ask(client, input=text)["usage"]["prompt_tokens"] for text in texts)
    for text, entry in zip(texts, answer["data"], strict=True):
        assert cosine(entry["embedding"], ask(client, input=text)["data"][0]["embedding"]) > 0.9999


def test_vectors_in_base64(client: httpx.Client) -> None:
    """If this fails, OpenAI's own Python client, which asks for this form, decodes noise."""
    encoded = ask(client, input="food", encoding_format="base64")["data"][0]["embedding"]
    decoded = struct.unpack(f"<{minilm.DIMENSIONS}f", base64.b64decode(encoded, validate=True))
    assert list(decoded) == pytest.approx(ask(client, input="food", encoding_format="float")["data"][0]["embedding"])


def test_texts_that_are_tokens_already(client: httpx.Client) -> None:
    """If this fails, clients that count tokens themselves and send them get the vector of something else."""
    tokens = client.post("/tokenize", json={"content": "food", "add_special": True}).raise_for_status().json()["tokens"]
    vectors = [entry["embedding"] for entry in ask(client, input=[tokens, "food"])["data"]]
    assert cosine(*vectors) > 0.9999


@pytest.mark.parametrize(
    ("question", "message"),
    [
        ({}, '"input" or "content" must be provided'),
        ({"input": []}, 'Input content cannot be empty|"prompt" must not be empty'),
        ({"input": "food", "encoding_format": "hex"}, "Can be either float or base64"),
        ({"input": [99_999_999]}, "Prompt contains invalid tokens"),
    ],
)
def test_wrong_questions_are_refused(client: httpx.Client, question: dict[str, Any], message: str) -> None:
    """If this fails, a client's mistake looks like a fault of the server, or gets a vector."""
    answer = client.post("/v1/embeddings", json=question)
    assert answer.status_code == 400
    assert answer.json()["error"]["type"] == "invalid_request_error"
    assert re.search(message, answer.json()["error"]["message"])
