"""`Pushable` and `Attached`: what a registry is asked before an image is built, and told after it was pushed.

The registry's client is imported where it is first used, so that a host's `up` starts without it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, TypeVar

import pulumi

from infra.core.derivation import KEY_LABEL
from infra.provider.engine import Log
from infra.provider.problems import HostError
from infra.provider.server import UNKNOWN, Properties
from infra.provider.values import changed

if TYPE_CHECKING:
    from infra.provider.registry import Repository

T = TypeVar("T")

_LOGIN: Final = ("user", "token")


class Pushable(pulumi.CustomResource):
    """A repository whose token may push, and whose tag of this version is free or holds the same bytes."""

    held: pulumi.Output[str]
    """The key that the tag had, or an empty text."""

    def __init__(self, name: str, *, opts: pulumi.ResourceOptions | None = None, **inputs: Any) -> None:
        """Inputs: `repository`, `user`, `token`, `version`, `key`."""
        super().__init__("pollex:index:Pushable", name, {**inputs, "held": None}, opts)


class PushableLifecycle:
    """A repository that takes an image: the token may push, and the version's tag is free or holds these very bytes.

    Inputs `repository`, `user`, `token`, `version`, `key`; output `held`, the key that the tag already had, or none.
    Between this check and the push, somebody else can still push the tag: a registry offers nothing better.
    """

    def differences(self, before: Properties, outputs: Properties, inputs: Properties) -> dict[str, bool]:  # noqa: ARG002 - Lifecycle's signature
        """Every change is checked again."""
        return dict.fromkeys(changed(before, inputs), True)

    def foresee(self, before: Properties, outputs: Properties, inputs: Properties) -> Properties:  # noqa: ARG002 - Lifecycle's signature
        """Only the registry knows."""
        return {"held": UNKNOWN}

    async def apply(self, inputs: Properties, outputs: Properties, log: Log) -> Properties:  # noqa: ARG002 - Lifecycle's signature
        """Check before anything is built."""
        log(f"asking {inputs['repository']}")
        return {"held": await _asked(_check, inputs)}

    async def read(self, inputs: Properties, outputs: Properties, warn: Log) -> tuple[Properties, Properties] | None:  # noqa: ARG002 - Lifecycle's signature
        """Nothing is made that could drift."""
        return inputs, outputs

    async def delete(self, inputs: Properties, outputs: Properties, warn: Log) -> None:
        """Nothing was made."""


class Attached(pulumi.CustomResource):
    """Documents beside a pushed index."""

    sizes: pulumi.Output[dict[str, int]]
    """Platform → compressed bytes."""
    referrers: pulumi.Output[dict[str, str]]
    """Media type → digest of what is attached."""

    def __init__(self, name: str, *, opts: pulumi.ResourceOptions | None = None, **inputs: Any) -> None:
        """Inputs: `repository`, `user`, `token`, `digest`, `documents`."""
        super().__init__("pollex:index:Attached", name, {**inputs, "sizes": None, "referrers": None}, opts)


class AttachedLifecycle:
    """Documents beside a pushed index, whose digest stays what it is.

    Inputs `repository`, `user`, `token`, `digest`, `documents` (media type → text); outputs `referrers` (media type →
    digest) and `sizes` (platform → compressed bytes). A document that is gone is shown as `missing` after a refresh.
    """

    def differences(self, before: Properties, outputs: Properties, inputs: Properties) -> dict[str, bool]:  # noqa: ARG002 - Lifecycle's signature
        """Another login to the same repository attaches nothing anew."""
        was, will = ({k: v for k, v in side.items() if k not in _LOGIN} for side in (before, inputs))
        return dict.fromkeys(changed(was, will), True)

    def foresee(self, before: Properties, outputs: Properties, inputs: Properties) -> Properties:
        """The same as before, as long as the image is."""
        if outputs and before.get("digest") == inputs.get("digest"):
            return outputs
        return {"referrers": UNKNOWN, "sizes": UNKNOWN}

    async def apply(self, inputs: Properties, outputs: Properties, log: Log) -> Properties:  # noqa: ARG002 - Lifecycle's signature
        """Attach what is not there."""
        log(f"attaching {len(inputs['documents'])} documents to {inputs['digest'][:19]}…")
        return await _asked(_attach, inputs)

    async def read(self, inputs: Properties, outputs: Properties, warn: Log) -> tuple[Properties, Properties] | None:
        """Whether the image and its documents are still there."""
        found = await _asked(_find, inputs)
        if found is None:
            warn(f"{inputs['repository']} has lost {inputs['digest']}")
            return None
        kept = {kind: text if kind in found else "missing" for kind, text in inputs["documents"].items()}
        return {**inputs, "documents": kept}, outputs

    async def delete(self, inputs: Properties, outputs: Properties, warn: Log) -> None:
        """Leave them: what was published stays."""


def _check(repository: Repository, inputs: Properties) -> str:
    repository.check_push()
    labels = repository.labels(inputs["version"])
    held = "" if labels is None else labels.get(KEY_LABEL, "another image")
    if held not in {"", inputs["key"]}:
        raise HostError(
            f"{repository.name}:{inputs['version']} is there already with other bytes (key {held}, declared "
            f"{inputs['key']}): a version is never overwritten, raise pollex:image.version"
        )
    return held


def _attach(repository: Repository, inputs: Properties) -> Properties:
    found = repository.manifest(inputs["digest"])
    if found is None:
        raise HostError(f"{repository.name} has no {inputs['digest']}, which was pushed: does something delete images?")
    documents = {kind: text.encode() for kind, text in inputs["documents"].items()}
    return {
        "referrers": {kind: repository.attach(found[0], kind, data) for kind, data in sorted(documents.items())},
        "sizes": repository.sizes(inputs["digest"]),
    }


def _find(repository: Repository, inputs: Properties) -> set[str] | None:
    if repository.manifest(inputs["digest"]) is None:
        return None
    return {str(one.get("artifactType")) for one in repository.referrers(inputs["digest"])}


async def _asked(question: Callable[[Repository, Properties], T], inputs: Properties) -> T:
    """The answer to a question to the registry, asked outside the event loop."""
    from infra.provider.registry import RegistryError, Repository  # noqa: PLC0415 - see the module's docstring

    def ask() -> T:
        with Repository(inputs["repository"], user=inputs.get("user"), token=inputs.get("token")) as repository:
            return question(repository, inputs)

    try:
        return await asyncio.to_thread(ask)
    except RegistryError as error:
        raise HostError(str(error)) from error
