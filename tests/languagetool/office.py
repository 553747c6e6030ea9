"""Debian's LibreOffice with a LanguageTool server in its settings, and a script of Debian's Python that drives it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from xml.sax.saxutils import escape

PATIENCE = 300
"""Seconds after which LibreOffice hangs."""


def settings(**given: str) -> str:
    """LibreOffice's settings, as its dialog writes them."""
    place = "/org.openoffice.Office.Linguistic/GrammarChecking/LanguageTool"
    items = "".join(
        f'<item oor:path="{place}"><prop oor:name="{name}" oor:op="fuse"><value>{escape(value)}</value></prop></item>'
        for name, value in given.items()
    )
    return (
        '<?xml version="1.0" encoding="UTF-8"?><oor:items xmlns:oor="http://openoffice.org/2001/registry" '
        'xmlns:xs="http://www.w3.org/2001/XMLSchema" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">'
        f"{items}</oor:items>"
    )


def driven(home: Path, script: Path, *arguments: str, display: str | None = None, **given: str) -> str:
    """What a script prints that drives a LibreOffice of its own.

    Args:
        home: folder for its user's settings.
        script: for Debian's Python; it is given the address of LibreOffice, and ends it.
        arguments: of the script, after the address.
        display: X display to show itself on; without one it shows nothing.
        given: settings of its LanguageTool server.
    """
    (home / "user").mkdir(parents=True)
    (home / "user" / "registrymodifications.xcu").write_text(settings(IsEnabled="true", **given))
    address = f"pipe,name=pollex-{home.parent.name}-{home.name}"
    environment = {**os.environ, **({} if display is None else {"DISPLAY": display})}
    quiet = ["--norestore", "--nologo", "--nofirststartwizard", *(["--headless"] if display is None else [])]
    office = subprocess.Popen(
        ["soffice", *quiet, f"-env:UserInstallation=file://{home}", f"--accept={address};urp"],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        process_group=0,
    )
    try:
        done = subprocess.run(
            ["/usr/bin/python3", str(script), address, *arguments],
            env=environment,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        office.wait(timeout=PATIENCE)
        return done.stdout
    finally:
        if office.poll() is None:
            subprocess.run(["kill", "--", f"-{office.pid}"], check=False)
            office.wait(timeout=PATIENCE)
