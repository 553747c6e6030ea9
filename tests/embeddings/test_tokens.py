"""What a real llama-server reads in a text, beside what the model's own tokenizer reads."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from unicodedata import ucd_3_2_0

import httpx

from sandbox import minilm
from tests.embeddings.serving import serving

SEPARATOR = 102
"""The token `[SEP]`."""

CHARACTERS = [chr(code) for code in range(0x110000) if ucd_3_2_0.category(chr(code)) not in {"Cn", "Co", "Cs"}]
"""Unicode 3.2's, 95,000: those that came much later the model's tokenizer does not know, and llama.cpp's does."""

OTHERWISE = {"\u166d", "\u2581"}
"""A sign that has been no punctuation since Unicode 12, and the one that stands for a space inside llama.cpp."""


def test_every_character_is_read_as_by_the_model(either: Path) -> None:
    """If this fails, texts in some script get vectors that say nothing about them."""
    texts = ["[SEP]".join(f"a{one}b" for one in CHARACTERS[at : at + 4096]) for at in range(0, len(CHARACTERS), 4096)]
    with serving(either, minilm.model("Q8_0")) as url:
        read = [words for text in texts for words in apart(tokenized(url, text))]
    meant = [words for tokens in minilm.tokens(texts) for words in apart(tokens)]
    pairs = zip(CHARACTERS, read, meant, strict=True)
    assert {character for character, here, there in pairs if here != there} == OTHERWISE


def tokenized(url: str, text: str) -> list[int]:
    question = {"content": text, "add_special": True}
    return list(httpx.post(f"{url}/tokenize", json=question, timeout=60).raise_for_status().json()["tokens"])


def apart(tokens: Sequence[int]) -> list[list[int]]:
    """The tokens of each word that a separator ends; the first token stands for the text's start."""
    words: list[list[int]] = [[]]
    for token in tokens[1:]:
        if token == SEPARATOR:
            words.append([])
        else:
            words[-1].append(token)
    return words[:-1]
