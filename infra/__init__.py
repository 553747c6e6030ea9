"""The declaration: configuration → spec → derivations → artefacts → resources → outputs."""

from pathlib import Path

ROOT = Path(__file__).parent.parent
"""The project's folder; relative files in a stack file are below it."""

HOST_FOLDER = ROOT / "infra" / "hosttools"
"""What runs on the host."""
