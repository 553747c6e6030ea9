"""A program that computes wrongly is not installed.

The manifest of llama-server's build holds a tiny model, a request and the right answers (infra/proof). The model is
served by the new program, and what comes back is compared.
"""

from __future__ import annotations

import base64
import gzip
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .completions import Token, tokens
from .trial import Trial, TrialError

if TYPE_CHECKING:
    from .manifest import Proof

OPTIONS = ("-t", "2")
"""What a build is tried with; `tune` tries others."""


@dataclass(frozen=True)
class Answers:
    """The right answers: a token a step, and the log-probability of every token of the tiny vocabulary."""

    tolerance: float
    steps: tuple[tuple[int, tuple[float, ...]], ...]

    @classmethod
    def parse(cls, text: str) -> Answers:
        """From `tolerance T`, then a line a step: the token, and the log-probability of each token by its number."""
        head, *lines = text.splitlines()
        steps = [line.split() for line in lines]
        return cls(
            tolerance=float(head.split()[1]),
            steps=tuple((int(token), tuple(float(value) for value in values)) for token, *values in steps),
        )


def computes(
    program: str, proof: Proof | None, options: Sequence[str] = OPTIONS, variables: Mapping[str, str] = {}
) -> str:
    """How right the program is, for people; nothing where there is no proof of it.

    Raises:
        TrialError: it computes wrongly, or not at all.
    """
    if proof is None:
        return ""
    with Trial() as trial:
        model = f"{trial.folder}/model.gguf"
        with open(model, "wb") as file:
            file.write(gzip.decompress(base64.b64decode(proof.model)))
        base = ("-m", model, "-ngl", "999", "-c", "128", "-np", "1")
        trial.serve(program, (*base, *options), loads="a tiny model", variables=variables)
        answer = trial.ask("/completion", proof.request)
    return judge(tokens(answer), Answers.parse(proof.logprobs))


def judge(given: Sequence[Token], right: Answers) -> str:
    """How far the given answers are from the right ones.

    Raises:
        TrialError: too far.
    """
    seen, worst, where, other = 0, -1.0, "", ""
    for step, (token, (chosen, values)) in enumerate(zip(given, right.steps), 1):
        if token.number != chosen and not other:
            other = f"token {step} is {token.number}, not {chosen}; "
        for number, logprob in token.likeliest.items():
            if not 0 <= number < len(values):
                continue
            seen += 1
            off = abs(logprob - values[number])
            if off > worst:
                worst = off
                where = f"of token {number} at step {step} is {logprob:.6g}, not {values[number]:.6g}"
    wanted = sum(len(values) for _, values in right.steps)
    if seen != wanted:
        raise TrialError(f"it answered with {seen} of {wanted} log-probabilities")
    if other or not worst <= right.tolerance:
        raise TrialError(f"{other}the log-probability {where} ({worst:.6g} off, {right.tolerance:.6g} allowed)")
    return f"largest error {worst:.6g}, allowed {right.tolerance:.6g}"
