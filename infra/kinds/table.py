"""The kinds of stacks, and the way from a stack file's plain values to what is declared."""

from __future__ import annotations

from collections.abc import Mapping

from infra.core.report import ConfigError, problem, validated
from infra.core.settings import MISSING
from infra.kinds.dev.spec import DevStack
from infra.kinds.host.spec import HostStack
from infra.kinds.image.spec import ImageStack

Stack = HostStack | ImageStack | DevStack
"""What a stack file can declare."""

KINDS: Mapping[str, type[Stack]] = {"host": HostStack, "image": ImageStack, "dev": DevStack}
"""`pollex:kind`, and what it declares."""


def parse(raw: Mapping[str, object], *, file: str) -> Stack:
    """The declared stack, from plain values keyed without the namespace.

    Args:
        raw: the stack file's values, such as `{"kind": "host", "host": {…}}`; lists are lists, secrets are strings.
        file: the stack file's path, for the report.

    Raises:
        ConfigError: something is missing, unknown or wrong; all of it is in the report.
    """
    kind = raw.get("kind")
    declared = KINDS.get(kind) if isinstance(kind, str) else None
    if declared is None:
        remedy = f"what the stack declares: {' or '.join(KINDS)}"
        raise ConfigError(file, [problem(["kind"], MISSING if kind is None else kind, remedy)])
    return validated(declared, raw, file=file)
