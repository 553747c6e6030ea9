"""Puts the browser extension together: its own files, and the modules of the service's page that it shares."""

from __future__ import annotations

import shutil
import sys
import zipfile
from pathlib import Path

HERE = Path(__file__).parent
PAGE = HERE.parent / "service" / "pollex" / "web" / "static"
SHARED = (
    "api.js",
    "copy.js",
    "dom.js",
    "explain.js",
    "modes.js",
    "notice.js",
    "parts.js",
    "review.js",
    "run.js",
    "style.css",
)
"""What the extension takes from the page; it lies in `page/` there."""
EPOCH = (1980, 1, 1, 0, 0, 0)
"""The time of every file in the archive: the earliest that a zip knows."""


def pack(build: Path) -> Path:
    """Writes `build/extension/`, which a browser loads as it is, and the same as an archive.

    Args:
        build: folder for both; what an earlier call left there goes.

    Returns:
        The archive, of the same bytes for the same files on every machine.
    """
    folder, archive = build / "extension", build / "pollex-extension.zip"
    shutil.rmtree(folder, ignore_errors=True)
    folder.joinpath("page").mkdir(parents=True)
    for file in HERE.iterdir():
        if file.suffix in {".html", ".css", ".js", ".json", ".png"}:
            shutil.copyfile(file, folder / file.name)
    for name in SHARED:
        shutil.copyfile(PAGE / name, folder / "page" / name)
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as written:  # compressors differ from machine to machine
        for file in sorted(path for path in folder.rglob("*") if path.is_file()):
            entry = zipfile.ZipInfo(file.relative_to(folder).as_posix(), EPOCH)
            entry.create_system, entry.external_attr = 3, 0o644 << 16
            written.writestr(entry, file.read_bytes())
    return archive


if __name__ == "__main__":
    print(pack(Path(sys.argv[1])))
