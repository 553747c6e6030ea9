"""What a client is asked in front of the image: `python asked.py CLIENT EMBEDDINGS CHAT`, in an environment of its own.

EMBEDDINGS and CHAT are the URLs of two servers. The client's answers are printed as JSON, as far as it has such calls:

    one, two     vectors of "a cat", and of "a cat" and "a dog" together
    said         the answer to a message, and to the same as a prompt
    pieces       the same answer as a stream
    models       the models' names
    refused      what it says of a model, or of inputs, that cannot be answered
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

CAT, DOG = "a cat", "a dog"
MODEL, TALKER = "all-minilm", "chat"
ASKED = "Say hello."
MESSAGES: Any = [{"role": "user", "content": ASKED}]
KEY = "none"
TOKENS = 8
Answers = dict[str, Any]


def refusal(ask: Callable[[], object]) -> str:
    """What the client's user reads of a request that is refused."""
    try:
        answer = ask()
    except Exception as error:  # noqa: BLE001 - every client has its own
        return f"{type(error).__name__}: {error}"
    return f"no error: {answer!r:.200}"


def by_openai(embeddings: str, chat: str) -> Answers:
    """`openai`, on its own form of the API."""
    import openai

    vectors = openai.OpenAI(base_url=f"{embeddings}/v1", api_key=KEY).embeddings
    talker = openai.OpenAI(base_url=f"{chat}/v1", api_key=KEY)
    options: Any = {"model": TALKER, "max_tokens": TOKENS, "temperature": 0}
    stream: Any = talker.chat.completions.create(messages=MESSAGES, stream=True, **options)
    return {
        "one": vectors.create(model=MODEL, input=CAT).data[0].embedding,
        "two": [one.embedding for one in vectors.create(model=MODEL, input=[CAT, DOG]).data],
        "said": [talker.chat.completions.create(messages=MESSAGES, **options).choices[0].message.content],
        "pieces": [piece.choices[0].delta.content or "" for piece in stream if piece.choices],
        "models": [one.id for one in talker.models.list()],
        "refused": refusal(lambda: vectors.create(model=MODEL, input=CAT, dimensions=100)),
    }


def by_ollama(embeddings: str, chat: str) -> Answers:
    """`ollama`, on its own API."""
    import ollama

    vectors, talker = ollama.Client(embeddings), ollama.Client(chat)
    options: Any = {"num_predict": TOKENS, "temperature": 0}
    return {
        "one": vectors.embed(MODEL, CAT).embeddings[0],
        "two": vectors.embed(MODEL, [CAT, DOG]).embeddings,
        "said": [
            talker.chat(TALKER, MESSAGES, options=options).message.content,
            talker.generate(TALKER, ASKED, options=options).response,
        ],
        "pieces": [one.message.content for one in talker.chat(TALKER, MESSAGES, options=options, stream=True)],
        "models": [one.model for one in talker.list().models],
        "refused": refusal(lambda: vectors.embed("bge-m3", CAT)),
    }


def by_langchain_openai(embeddings: str, chat: str) -> Answers:
    """`langchain-openai`; without its setting it sends tokens of another model, which is refused."""
    from langchain_openai import ChatOpenAI, OpenAIEmbeddings

    def vectors(**settings: bool) -> Any:
        return OpenAIEmbeddings(model=MODEL, base_url=f"{embeddings}/v1", api_key=KEY, **settings)

    talker = ChatOpenAI(model=TALKER, base_url=f"{chat}/v1", api_key=KEY, max_tokens=TOKENS, temperature=0)
    texts = vectors(check_embedding_ctx_length=False)
    return {
        "one": texts.embed_query(CAT),
        "two": texts.embed_documents([CAT, DOG]),
        "said": [talker.invoke(ASKED).content],
        "pieces": [piece.content for piece in talker.stream(ASKED)],
        "refused": refusal(lambda: vectors().embed_query(CAT)),
    }


def by_langchain_ollama(embeddings: str, chat: str) -> Answers:
    """`langchain-ollama`, which asks for the list of models first."""
    from langchain_ollama import ChatOllama, OllamaEmbeddings, OllamaLLM

    def vectors(model: str) -> Any:
        return OllamaEmbeddings(model=model, base_url=embeddings)

    options: Any = {"model": TALKER, "base_url": chat, "num_predict": TOKENS, "temperature": 0}
    talker = ChatOllama(validate_model_on_init=True, **options)
    return {
        "one": vectors(MODEL).embed_query(CAT),
        "two": vectors(MODEL).embed_documents([CAT, DOG]),
        "said": [talker.invoke(ASKED).content, OllamaLLM(**options).invoke(ASKED)],
        "pieces": [piece.content for piece in talker.stream(ASKED)],
        "refused": refusal(lambda: vectors("bge-m3").embed_query(CAT)),
    }


def by_llama_index(embeddings: str, _: str) -> Answers:
    """`llama-index-embeddings-ollama`."""
    from llama_index.embeddings.ollama import OllamaEmbedding

    vectors = OllamaEmbedding(MODEL, base_url=embeddings)
    unknown = OllamaEmbedding("bge-m3", base_url=embeddings)
    return {
        "one": vectors.get_text_embedding(CAT),
        "two": vectors.get_text_embedding_batch([CAT, DOG]),
        "refused": refusal(lambda: unknown.get_text_embedding(CAT)),
    }


def by_litellm(embeddings: str, chat: str) -> Answers:
    """`litellm`, with both of its ways to such a server."""
    import litellm

    ours: Any = {"api_base": f"{embeddings}/v1", "api_key": KEY}
    options: Any = {"messages": MESSAGES, "max_tokens": TOKENS, "temperature": 0}
    likely: Any = {"model": f"ollama_chat/{TALKER}", "api_base": chat, **options}
    own: Any = {"model": f"openai/{TALKER}", "api_base": f"{chat}/v1", "api_key": KEY, **options}
    alike = litellm.embedding(model=f"ollama/{MODEL}", input=[CAT, DOG], api_base=embeddings)
    return {
        "one": litellm.embedding(model=f"openai/{MODEL}", input=[CAT], **ours).data[0]["embedding"],
        "two": [one["embedding"] for one in alike.data],
        "said": [litellm.completion(**way).choices[0].message.content for way in (likely, own)],
        "pieces": [one.choices[0].delta.content or "" for one in litellm.completion(stream=True, **likely)],
        "refused": refusal(lambda: litellm.embedding(model="ollama/bge-m3", input=[CAT], api_base=embeddings)),
    }


CLIENTS: dict[str, Callable[[str, str], Answers]] = {
    "langchain-ollama": by_langchain_ollama,
    "langchain-openai": by_langchain_openai,
    "litellm": by_litellm,
    "llama-index-embeddings-ollama": by_llama_index,
    "ollama": by_ollama,
    "openai": by_openai,
}

if __name__ == "__main__":
    print(json.dumps(CLIENTS[sys.argv[1]](*sys.argv[2:])))
