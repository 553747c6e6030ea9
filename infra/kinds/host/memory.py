"""What a host stack takes of its board's memory, by the settings that decide it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Final

from infra.core import memory
from infra.core.memory import MIB
from infra.core.profiles import PROFILES
from infra.kinds.host.spec import HostStack, Model

BITS: Final[Mapping[str, float]] = {"Q8_0": 8.5, "Q6_K": 6.5625, "Q5_1": 6, "Q5_0": 5.5, "Q4_1": 5, "Q4_0": 4.5}
"""Bits of a weight (ggml's block formats); the K mixtures have at least those of their smallest part."""
MIXTURES: Final[Mapping[str, float]] = {"Q5_K_M": 5.5, "Q5_K_S": 5.5, "Q4_K_M": 4.5, "Q4_K_S": 4.5}
PUBLISHED_BITS: Final = 16
"""Of a weight in the largest form in which models are published."""


def needs(stack: HostStack) -> dict[str, int]:
    """MiB that must be in memory at the same time, at least, by the settings that decide them.

    The weights are known by the file's size, the rest by `pollex:model.shape`.
    """
    server, model = stack.server, stack.model
    shape = None if model.shape is None else memory.Shape(**model.shape.model_dump())
    budget = memory.budget(
        _resident(stack),
        shape,
        context=server.context,
        micro_batch=server.micro_batch,
        cache_types=(
            _option(server.extra_args, "-ctk", "--cache-type-k"),
            _option(server.extra_args, "-ctv", "--cache-type-v"),
        ),
    )
    parts = {
        "pollex:model": budget.weights,
        "pollex:server.context": budget.cache,
        "pollex:server.microBatch": budget.computing,
    }
    return {setting: size // MIB for setting, size in parts.items() if size >= MIB}


def spare(stack: HostStack) -> int:
    """MiB besides the memory into which what CUDA takes may be swapped."""
    swap = 0 if stack.board is None or stack.board.swap_mb is None else stack.board.swap_mb
    return swap if stack.server.unified_memory else 0


def _resident(stack: HostStack) -> int:
    """Bytes of the weights that stay in memory; the others are read from the file again where memory is short."""
    size, server = _served_size(stack.model), stack.server
    if server.mlock:
        return size
    if not PROFILES[stack.build.profile].gpu or server.gpu_layers == 0:
        return 0
    layers = None if stack.model.shape is None else stack.model.shape.layers
    if layers is None or server.gpu_layers > layers:
        return size
    return size * server.gpu_layers // (layers + 1)


def _served_size(model: Model) -> int:
    if model.quantise is None:
        return model.size
    bits = {**BITS, **MIXTURES}[model.quantise.type]
    return int(model.origin.size * bits / PUBLISHED_BITS)


def _option(arguments: tuple[str, ...], *names: str) -> str:
    given = [value for name, value in pairwise(arguments) if name in names]
    return given[-1].lower() if given else "f16"
