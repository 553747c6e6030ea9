"""Where things are on a host. Tests move them out of the machine's way; units and users know the defaults."""

from __future__ import annotations

import os

ROOT = os.environ.get("POLLEX_ROOT", "/opt/pollex")
"""The folder that holds everything of ours."""
UNITS = os.environ.get("POLLEX_UNIT_DIR", "/etc/systemd/system")
BIN = os.environ.get("POLLEX_BIN_DIR", "/usr/local/bin")
MACHINE = os.environ.get("POLLEX_MACHINE", "")
"""What stands before the paths of the kernel's and of JetPack's own files: nothing, but in tests."""
DEVICES = f"{MACHINE}/sys/devices"
PROC = f"{MACHINE}/proc"

STORE = f"{ROOT}/store"
MANIFESTS = f"{ROOT}/drv"
BUILDS = f"{ROOT}/build"
LOGS = f"{ROOT}/log"
ARCHIVES = f"{ROOT}/archive"
GENERATIONS = f"{ROOT}/generations"
CURRENT = f"{ROOT}/current"
FACTS = f"{ROOT}/facts"
TOOLS = f"{ROOT}/lib"
LAYOUT = f"{ROOT}/layout"
"""How new the tools were that keep things here."""
SWAP = f"{ROOT}/swap"
"""The swap file, where one is declared."""

POLL = float(os.environ.get("POLLEX_POLL", "20"))
"""Seconds between two lines of progress."""

HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
"""The folder of these tools: the launcher, the package, the recipe."""
