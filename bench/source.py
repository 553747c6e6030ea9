"""llama.cpp's ggml folder for the measurements: the Nano's where it can be had, else the sandbox's."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sandbox.machine import say
from sandbox.source import CARRIED, NANO, OutOfReachError, Tree, apply, obtain


@dataclass(frozen=True, slots=True)
class Checkout:
    """A source's ggml folder, as it is upstream."""

    tag: str
    ggml: Path

    def patched(self, *names: str) -> Path:
        """A copy of the folder with those patches applied, beside the original.

        Raises:
            SandboxError: one does not apply unchanged.
        """
        tree = self.ggml.parent.with_name("patched")
        shutil.copytree(self.ggml.parent, tree)
        apply(tree, names)
        return tree / "ggml"


@contextmanager
def checkout() -> Iterator[Checkout]:
    """The Nano's source, or else the sandbox's.

    Raises:
        SandboxError: neither can be had, or POLLEX_SOURCE_MIRROR does not give the Nano's.
    """
    with tempfile.TemporaryDirectory() as scratch:
        tree = _tree(Path(scratch))
        original = Path(scratch, "original")
        tree.unpack(original, "ggml/include", "ggml/src")
        yield Checkout(tree.pin.tag, original / "ggml")


def _tree(scratch: Path) -> Tree:
    try:
        return obtain(NANO, scratch)
    except OutOfReachError as error:
        say(f"{error}\ntaking {CARRIED.tag} instead")
        return obtain(CARRIED, scratch)
