"""The file that is served, downloaded or made on the host: its identity, and what the host is told of it. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from infra.core.derivation import Derivation
from infra.hosttools.pollex_host import manifest
from infra.kinds.host.compilation import QUANTISER, Compilation
from infra.kinds.host.spec import Model, Quantise


def derivation(model: Model, programs: Compilation) -> Derivation:
    """The file as a derivation.

    One that is served as it was published has its bytes as its identity. One that is made on the host is named by what
    it is made from, by which program, and how.

    Args:
        model: what is declared.
        programs: how llama-quantize is made, where the host makes the file.
    """
    if model.quantise is None:
        return _published(model)
    return _quantised(model, model.quantise, programs.derivation(QUANTISER).key)


def told(
    model: Model, programs: Compilation, substituters: Sequence[manifest.Substituter]
) -> manifest.Model | manifest.Quantised:
    """What the host is told of the file; arguments as for `derivation`, and where finished ones may lie."""
    if model.quantise is None:
        return _download(model, substituters)
    made = derivation(model, programs)
    return manifest.Quantised(
        key=made.key,
        name=made.name,
        file=model.file,
        arguments=_arguments(model.quantise),
        type=model.quantise.type,
        source=_download(model, substituters),
        tool=programs.manifest(QUANTISER, substituters),
        substituters=tuple(substituters),
        former_keys=(_quantised(model, model.quantise, programs.former_key(QUANTISER)).key,),
    )


def _published(model: Model) -> Derivation:
    """The file that is downloaded."""
    return Derivation("model", {"sha256": model.origin.sha256, "file": model.origin_file})


def _quantised(model: Model, asked: Quantise, quantiser: str) -> Derivation:
    """The file that is made on the host by the quantiser of that key."""
    return Derivation(
        "model",
        {
            "source": model.origin.sha256,
            "with": quantiser,
            "arguments": list(_arguments(asked)),
            "type": asked.type,
            "file": model.file,
        },
    )


def _arguments(asked: Quantise) -> tuple[str, ...]:
    """llama-quantize's options; the two files and the type of the whole follow them."""
    return (
        *("--output-tensor-type", asked.output.lower()),
        *("--token-embedding-type", asked.embedding.lower()),
        *(("--allow-requantize",) if asked.requantise else ()),
    )


def _download(model: Model, substituters: Sequence[manifest.Substituter]) -> manifest.Model:
    published, origin = _published(model), model.origin
    return manifest.Model(
        key=published.key,
        name=published.name,
        file=model.origin_file,
        size=origin.size,
        sha256=origin.sha256,
        mirrors=(origin.url, *origin.mirrors),
        adopt=model.path if origin is model else None,
        substituters=tuple(substituters),
    )
