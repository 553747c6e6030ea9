"""How a component's children are called: after it, so that a stack can hold several of one kind."""

from __future__ import annotations

import pulumi


def child(parent: pulumi.Resource, former: str, opts: pulumi.ResourceOptions | None = None) -> pulumi.ResourceOptions:
    """The options of a component's child.

    Args:
        parent: the component.
        former: the name from before children were called after their component; a stack of then keeps the resource.
        opts: further options.
    """
    own = pulumi.ResourceOptions(parent=parent, aliases=[pulumi.Alias(name=former)])
    return own if opts is None else pulumi.ResourceOptions.merge(own, opts)
