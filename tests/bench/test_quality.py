"""The texts and the yardstick of `make bench-quality`; the models themselves take minutes and are measured there."""

from __future__ import annotations

from bench import quality
from infra.kinds.host.spec import HostStack
from infra.kinds.table import parse
from tests.infra.conftest import values_of


def test_the_texts_are_spoiled_and_the_same_everywhere() -> None:
    """If this fails, the figure is about other texts than the one before it, or about texts with nothing to mend."""
    texts = quality.spoiled()
    assert texts == quality.spoiled()
    assert len(set(texts)) == 50
    assert not set(texts) & set(quality.SENTENCES)


def test_agreement() -> None:
    """If this fails, a model that garbles texts is reported as good as its source."""
    assert quality.agreement(["a b", "c d"], ["a b", "c d"]) == (1, 1)
    assert quality.agreement(["a b", "c d"], ["a b", "c x"]) == (0.5, 0.75)
    assert quality.agreement(["a b"], ["x y"]) == (0, 0)


def test_the_first_recipe_is_the_default() -> None:
    """If this fails, the quality that is published is another recipe's than what the one line in a stack file makes."""
    values = values_of("jetson")
    values["model"]["quantise"] = {"type": "Q4_0"}
    stack = parse(values, file="x")
    assert isinstance(stack, HostStack)
    made = stack.model.quantise
    assert made is not None
    assert quality.RECIPES[0] == f"{made.type},{made.output},{made.embedding}"
