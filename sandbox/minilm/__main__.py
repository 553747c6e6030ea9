"""Makes the model's files and prints where they lie: `python -m sandbox.minilm [F32|F16|Q8_0 …]`."""

from __future__ import annotations

import argparse
import sys

from sandbox.machine import SandboxError
from sandbox.minilm import KINDS, model


def main() -> None:
    """Make what is named, or all of them."""
    parser = argparse.ArgumentParser(
        prog="python -m sandbox.minilm", description=f"Make {', '.join(KINDS)} of a model."
    )
    parser.add_argument("kinds", nargs="*", choices=[*KINDS, []], metavar="TYPE", help=", ".join(KINDS))
    try:
        for kind in parser.parse_args().kinds or KINDS:
            print(model(kind))
    except SandboxError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
