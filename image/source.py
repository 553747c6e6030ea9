"""The verified and patched source in /src, by the very steps that a board takes (infra/hosttools).

Run by the Dockerfile, which gives in capitals what is wanted, the tools at /host and the patches at /patches.
"""

import os
import shutil
import sys
from pathlib import Path

from pollex_host import say
from pollex_host.errors import HostToolError
from pollex_host.manifest import Patch, Source
from pollex_host.source import Checkout

WORK = "/build"

given = os.environ
source = Source(
    commit=given["COMMIT"],
    tree=given["TREE"],
    number=int(given["NUMBER"]),
    mirrors=tuple(given["MIRRORS"].splitlines()),
    folders=tuple(given["FOLDERS"].split()),
)
patches = [Patch(name, (Path("/patches") / name).read_text()) for name in given["SERIES"].split()]
Path(WORK).mkdir()
try:
    Checkout(WORK, source, patches, lambda phase, detail: print(phase, detail, flush=True)).make()
except HostToolError as error:
    say.complain(error.lines)
    sys.exit(error.status)
shutil.move(f"{WORK}/src", "/src")
