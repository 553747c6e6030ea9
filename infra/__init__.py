"""The declaration: configuration → spec → derivations → artefacts → resources → outputs."""

from pathlib import Path

_PACKAGE = Path(__file__).parent
_INSTALLED = _PACKAGE / "data"
"""What a wheel brings of the project's other folders (pyproject.toml), in the places that they have in a checkout."""

ROOT = _INSTALLED if _INSTALLED.exists() else _PACKAGE.parent
"""The project's own files: patches, the service's sources, what it depends on."""

FILES = Path.cwd() if _INSTALLED.exists() else ROOT
"""Relative files that a stack names are below it: the checkout, or the folder of somebody's own Pulumi program."""

HOST_FOLDER = _PACKAGE / "hosttools"
"""What runs on the host."""
