"""What llama-server answers to a request with `n_probs`: the tokens that it chose, and how likely others were."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Token:
    """A token that was chosen, with the likeliest ones at its place."""

    number: int
    text: str
    logprob: float | None
    """Its log-probability; None where it is no finite number, which JSON cannot carry."""
    likeliest: Mapping[int, float]
    """Log-probability by the token's number."""


def tokens(answer: object) -> list[Token]:
    """The tokens of an answer to `/completion`, in their order; an answer of another form has none."""
    steps = answer.get("completion_probabilities") if isinstance(answer, dict) else None
    return [_token(step) for step in steps if isinstance(step, dict)] if isinstance(steps, list) else []


def _token(step: Mapping[str, object]) -> Token:
    number, logprob, tops = step.get("id"), _float(step.get("logprob")), step.get("top_logprobs")
    likeliest: dict[int, float] = {}
    for top in tops if isinstance(tops, list) else []:
        if isinstance(top, dict) and isinstance(top.get("id"), int):
            value = _float(top.get("logprob"))
            if value is not None:
                likeliest[top["id"]] = value
    return Token(number if isinstance(number, int) else -1, str(step.get("token", "")), logprob, likeliest)


def _float(value: object) -> float | None:
    """A finite number; Python reads NaN where JSON has none."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return None
    return float(value)
