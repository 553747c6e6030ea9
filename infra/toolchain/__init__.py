"""The Pulumi command and its plugins in `.toolchain/`, from PATH or built from pinned Go modules.

`python -m infra.toolchain` needs nothing but the standard library. It leaves in the checkout

    .toolchain/bin/pulumi                     the shim infra/toolchain/shim, to be called by people and by make
    .toolchain/bin/pulumi-resource-…          stand-ins, only where the official plugins cannot be downloaded
    .toolchain/libexec/pulumi                 the real command, with its language host beside it where it really lies
    .toolchain/home                           PULUMI_HOME: plugins, logins, the selected stack
"""

from __future__ import annotations


class ToolchainError(Exception):
    """A prerequisite is missing or a step failed; the text says what mends it."""
