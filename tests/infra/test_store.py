"""A key is nothing but its inputs."""

from __future__ import annotations

import random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from infra.core.derivation import Derivation, Json

scalars = st.none() | st.booleans() | st.integers() | st.text()
values: st.SearchStrategy[Any] = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3), max_leaves=8
)
records = st.dictionaries(st.text(), values, min_size=1, max_size=6)


def shuffled(value: Json, chance: random.Random) -> Json:
    """The same value with every mapping in another order."""
    if isinstance(value, dict):
        items = [(key, shuffled(item, chance)) for key, item in value.items()]
        chance.shuffle(items)
        return dict(items)
    return [shuffled(item, chance) for item in value] if isinstance(value, list) else value


@given(records, st.randoms(use_true_random=False))
def test_order_does_not_matter(inputs: dict[str, Any], chance: random.Random) -> None:
    """If this fails, the same declaration is built twice because a mapping was written in another order."""
    other = shuffled(inputs, chance)
    assert isinstance(other, dict)
    assert Derivation("x", inputs).key == Derivation("x", other).key


@given(records, st.data())
def test_every_input_matters(inputs: dict[str, Any], data: st.DataObject) -> None:
    """If this fails, a changed input would be served by an old build."""
    name = data.draw(st.sampled_from(sorted(inputs)))
    value = data.draw(values.filter(lambda new: new != inputs[name] or type(new) is not type(inputs[name])))
    changed = {**inputs, name: value}
    same = repr(changed) == repr(inputs)
    assert (Derivation("x", inputs).key == Derivation("x", changed).key) == same
    assert Derivation("x", inputs).key != Derivation("y", inputs).key


def test_paths() -> None:
    """If this fails, the host and the declaration disagree about where things lie."""
    made = Derivation("llama-server", {"tree": "cad7"})
    assert made.path == f"/opt/pollex/store/{made.key}-llama-server"
    assert len(made.key) == 32
