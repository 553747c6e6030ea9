"""A host that serves one model: settings, plan, generated files, component.

    from infra.kinds.host import LlamaHost

is the component for one's own Pulumi program (docs/how-to/use-the-component.md).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from infra.kinds.host.component import LlamaHost

__all__ = ["LlamaHost"]


def __getattr__(name: str) -> Any:
    """The component on demand: whoever only renders or plans starts without Pulumi."""
    if name != "LlamaHost":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from infra.kinds.host.component import LlamaHost  # noqa: PLC0415 - see above

    return LlamaHost
