"""Which other files in the store hold the live model, and what to declare so that one of them is served.

What was served under the name that clients see, in any generation that is kept, is that model by declaration; so is the
file that one of those was made from, and whatever else was made from it. A model of another name is none.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from typing import Union

from . import generations, kept, places, store
from .errors import HostToolError
from .manifest import Model, Quantised, Serves

ModelFile = Union[Model, Quantised]

DEFAULT_TYPE = "q8_0"
"""Of the output and the embedding, unless the stack says another."""


def path(model: ModelFile) -> str:
    """Where its file is, finished or not."""
    return f"{store.path(model.item)}/{model.file}"


def others(live: Serves) -> list[ModelFile]:
    """The finished files of the live model, without the one that is served."""
    models = {model.item: model for model in _models()}
    alike = {live.model, *(serves.model for serves in _served() if serves.alias == live.alias)}
    origins = {_origin(models[item]) for item in alike if item in models}
    return [
        model
        for item, model in models.items()
        if item != live.model and _origin(model) in origins and os.path.isfile(path(model))
    ]


def how_to_serve(model: ModelFile, live: ModelFile | None) -> str:
    """What to write in the stack file, so that this file is served instead of the live one."""
    if isinstance(model, Quantised):
        return f"set `quantise: {{ {', '.join(_settings(model))} }}` below pollex:model"
    if isinstance(live, Quantised) and model.adopt is not None:
        return "remove the line `quantise: …` below pollex:model"
    url = model.mirrors[0] if model.mirrors else "…"
    return f"set `url: {url}`, `size: {model.size}` and `sha256: {model.sha256}` below pollex:model, without `quantise`"


def _settings(model: Quantised) -> Iterator[str]:
    """Those that differ from what they are without being set."""
    yield f"type: {model.type}"
    options = dict(zip(model.arguments, model.arguments[1:]))
    for name, argument in (("output", "--output-tensor-type"), ("embedding", "--token-embedding-type")):
        if options.get(argument, DEFAULT_TYPE) != DEFAULT_TYPE:
            yield f"{name}: {options[argument].upper()}"
    if "--allow-requantize" in model.arguments:
        yield "requantise: true"


def _models() -> Iterator[ModelFile]:
    """Those whose manifests are kept."""
    for item in sorted(os.listdir(places.MANIFESTS)):
        # one that nobody can read is no candidate
        with suppress(HostToolError):
            manifest = kept.load(item)
            if isinstance(manifest, (Model, Quantised)):
                yield manifest


def _served() -> Iterator[Serves]:
    """What the kept generations serve."""
    for name in sorted(os.listdir(places.GENERATIONS)):
        if not generations.exists(name):
            continue
        with suppress(HostToolError):
            yield from (unit.serves for unit in generations.load(name).units if unit.serves is not None)


def _origin(model: ModelFile) -> str:
    """The store path of what it was made from; one that was published is its own."""
    return model.source.item if isinstance(model, Quantised) else model.item


def live(serves: Serves) -> ModelFile | None:
    """The manifest of the model that is served, as far as it is kept."""
    return next((model for model in _models() if model.item == serves.model), None)
