"""Clients that people use, in front of the entrypoint and a real llama-server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import ollama
import openai
import pytest

from tests.image.entrypoint import programs  # noqa: F401 - a fixture
from tests.image.test_entrypoint_health import Real, real  # noqa: F401 - a fixture

MODEL = "all-minilm"


Client = Callable[[Real], ollama.Client]


@pytest.fixture
def ollamas() -> Iterator[Client]:
    """`ollamas(server)`: Ollama's client of a server, closed after the test."""
    with ExitStack() as stack:
        yield lambda server: stack.enter_context(ollama.Client(server.url))


@pytest.fixture
def embeddings(real: Callable[..., Any]) -> Iterator[Real]:  # noqa: F811 - the fixture of that name
    """A server for embeddings."""
    with real(MODEL) as server:
        server.ready()
        yield server


@pytest.fixture
def chat(real: Callable[..., Any]) -> Iterator[Real]:  # noqa: F811 - the fixture of that name
    """A server for chat, named `chat`."""
    with real("chat") as server:
        server.ready()
        yield server


def test_embeddings_of_ollamas_client(embeddings: Real, ollamas: Client) -> None:
    """If this fails, what speaks to Ollama gets 404, or vectors that are not those of the model."""
    client = ollamas(embeddings)
    assert [one.model for one in client.list().models] == [f"{MODEL}:latest"]
    assert client.show(MODEL).capabilities == ["embedding"]
    assert client.ps().models[0].context_length == 512
    assert client.pull(MODEL).status == "success"
    both = client.embed(MODEL, ["a cat", "a dog"])
    assert [len(one) for one in both.embeddings] == [384, 384]
    assert client.embeddings(MODEL, "a cat").embedding == pytest.approx(both.embeddings[0], abs=1e-6)
    with openai.OpenAI(base_url=f"{embeddings.url}/v1", api_key="none") as other:
        same = other.embeddings.create(model=MODEL, input="a cat").data[0].embedding
    assert same == pytest.approx(both.embeddings[0], abs=1e-6)


def test_a_text_that_is_too_long_is_cut(embeddings: Real, ollamas: Client) -> None:
    """If this fails, a long chunk is refused where Ollama takes its beginning, and missing from an index."""
    client = ollamas(embeddings)
    long, longer = "word " * 600, "word " * 900
    cut = client.embed(MODEL, [long, longer, "short"])
    assert len(cut.embeddings) == 3
    assert cut.embeddings[0] == pytest.approx(cut.embeddings[1], abs=1e-5)  # they begin alike
    whole = client.embed(MODEL, "word " * 510).embeddings[0]  # what fits between the two special tokens
    assert cut.embeddings[0] == pytest.approx(whole, abs=1e-4)
    with pytest.raises(ollama.ResponseError, match="input is too large"):
        client.embed(MODEL, long, truncate=False)


def test_what_is_refused_is_said(embeddings: Real, ollamas: Client) -> None:
    """If this fails, a client shows a crash of its own instead of what is wrong."""
    client = ollamas(embeddings)
    for status, words, ask in (
        (404, "not found: this server serves all-minilm", lambda: client.embed("bge-m3", "a")),
        (400, "Matryoshka", lambda: client.embed(MODEL, "a", dimensions=9)),
        (400, "does not support chat", lambda: client.chat(MODEL, [{"role": "user", "content": "a"}])),
        (501, "does not fetch models", lambda: client.pull("bge-m3")),
    ):
        with pytest.raises(ollama.ResponseError, match=words) as caught:
            ask()
        assert caught.value.status_code == status
    with (
        openai.OpenAI(base_url=f"{embeddings.url}/v1", api_key="none") as other,
        pytest.raises(openai.BadRequestError, match="check_embedding_ctx_length=False"),
    ):
        other.embeddings.create(model=MODEL, input=[[9906, 1917]])


def test_chat_of_ollamas_client(chat: Real, ollamas: Client) -> None:
    """If this fails, a chat program of Ollama's users shows nothing, or another text than OpenAI's clients get."""
    client = ollamas(chat)
    asked = [{"role": "user", "content": "Say hello."}]
    options = {"num_predict": 4, "temperature": 0}
    pieces = list(client.chat("chat", asked, stream=True, options=options))
    assert pieces[-1].done
    assert pieces[-1].done_reason == "length"
    assert pieces[-1].eval_count == 4
    said = "".join(piece.message.content or "" for piece in pieces)
    assert said
    assert client.generate("chat", "Say hello.", options=options).response == said
    with openai.OpenAI(base_url=f"{chat.url}/v1", api_key="none") as other:
        answer = other.chat.completions.create(
            model="chat", messages=[{"role": "user", "content": "Say hello."}], max_tokens=4, temperature=0
        )
    assert answer.choices[0].message.content == said
