"""The kinds of stacks: what a stack file declares, what is generated from it, and what `up` makes of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Final

from pydantic import TypeAdapter

from infra.core.report import ConfigError, problem, validated
from infra.core.settings import MISSING, Shown
from infra.kinds.dev.spec import DevStack
from infra.kinds.fleet.spec import FleetStack
from infra.kinds.host.spec import HostStack
from infra.kinds.image.spec import ImageStack

Stack = HostStack | FleetStack | ImageStack | DevStack
"""What a stack file can declare."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One kind of stack.

    Modules are named, and imported by whoever asks: the providers' SDKs that a component needs are a third of a
    program's start, and whoever renders needs none.
    """

    spec: type[Stack]
    """What is declared."""
    generated: str
    """The module whose `files` makes every text that such a stack generates, by name; its keys are `keys.json`."""
    component: str
    """The module whose `declare` declares its resources and returns its outputs."""


KINDS: Final[Mapping[str, Kind]] = {
    "host": Kind(spec=HostStack, generated="infra.kinds.host.plan", component="infra.kinds.host.component"),
    "fleet": Kind(spec=FleetStack, generated="infra.kinds.fleet.plan", component="infra.kinds.fleet.component"),
    "image": Kind(spec=ImageStack, generated="infra.kinds.image.attest", component="infra.kinds.image.component"),
    "dev": Kind(spec=DevStack, generated="infra.kinds.dev.files", component="infra.kinds.dev.component"),
}
"""By `pollex:kind`."""


def parse(raw: Mapping[str, object], *, file: str, secret: Collection[str] = ()) -> Stack:
    """The declared stack, from plain values keyed without the namespace.

    Args:
        raw: the stack file's values, such as `{"kind": "host", "host": {…}}`; lists are lists, secrets are strings.
        file: the stack file's path, for the report.
        secret: which of them were set with `--secret`, in themselves or in a part.

    Raises:
        ConfigError: something is missing, unknown or wrong; all of it is in the report.
    """
    kind = raw.get("kind")
    declared = KINDS.get(kind) if isinstance(kind, str) else None
    if declared is None:
        remedy = f"what the stack declares: {' or '.join(KINDS)}"
        raise ConfigError(file, [problem(["kind"], MISSING if kind is None else kind, remedy)])
    lost = [problem([name], Shown("a secret"), NOT_KEPT) for name in secret if not _keeps_secrets(declared.spec, name)]
    try:
        stack = validated(declared.spec, raw, file=file)
    except ConfigError as error:
        raise ConfigError(file, [*lost, *error.problems]) from None
    if lost:
        raise ConfigError(file, lost)
    return stack


NOT_KEPT: Final = (
    "is set with --secret, and nothing of it stays one: it stands in the stack's state and where it is deployed. "
    "Set it without --secret if everybody may read it"
)


def _keeps_secrets(spec: type[Stack], name: str) -> bool:
    """Whether a setting, or one in its group, is a secret; what is unknown is refused as that."""
    named = {field.alias or own: field for own, field in spec.model_fields.items()}
    if name not in named:
        return True
    annotation: Any = named[name].annotation
    return '"password"' in json.dumps(TypeAdapter(annotation).json_schema())


def files(stack: Stack) -> dict[str, str]:
    """Every text that the stack generates by name, its keys among them.

    Raises:
        patches.PatchError: the patch series is wrong.
    """
    chosen: Callable[[Any], dict[str, str]] = import_module(KINDS[stack.kind].generated).files
    return chosen(stack)


def declare(stack: Stack) -> Mapping[str, object]:
    """Declare the stack's resources and return its outputs."""
    chosen: Callable[[Any], Mapping[str, object]] = import_module(KINDS[stack.kind].component).declare
    return chosen(stack)
