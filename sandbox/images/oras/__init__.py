"""oras, built once from the Go modules that this folder pins: how people put files into a registry.

To move the pin: `cd sandbox/images/oras && go get -tool oras.land/oras/cmd/oras@VERSION && go mod tidy`.
"""

from __future__ import annotations

from pathlib import Path

from infra.toolchain import golang
from sandbox import goprograms

MODULE = golang.Module(folder=Path(__file__).parent)


def ensure() -> Path:
    """The program; the first caller builds it (about a minute on two cores), others wait for that one.

    Raises:
        SandboxError: there is no Go, or the build failed; holds the end of its log.
    """
    return goprograms.kept("images/oras", MODULE, {"oras": MODULE.package}, what="oras") / "oras"
