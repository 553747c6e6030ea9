"""A Pulumi program of somebody's own, in a folder of its own, that takes the component from the project's wheel."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import uv
import yaml

CHECKOUT = Path(__file__).parent.parent

PROGRAM = """\
import pulumi
from infra import config
from infra.kinds.host import LlamaHost

board = LlamaHost("board", config.load())
pulumi.export("url", board.plan.app_config["llamacpp_url"])
pulumi.export("generation", board.generation.generation)
"""
"""As in docs/how-to/use-the-component.md; a test compares them."""


def environment(folder: Path) -> Path:
    """A fresh virtual environment with the wheel of this checkout and what it depends on, and nothing else."""
    wheels = folder.parent / "wheels"
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(wheels)]
    subprocess.run(build, cwd=CHECKOUT, check=True, capture_output=True)
    (wheel,) = wheels.glob("*.whl")
    tool = uv.find_uv_bin()
    subprocess.run([tool, "venv", "--quiet", "--python", sys.executable, str(folder)], check=True)
    # the locked versions, without their hashes: the wheel itself has none there
    lock = folder.parent / "constraints.txt"
    lines = (CHECKOUT / "requirements/dev.txt").read_text().splitlines()
    lock.write_text("".join(f"{line.removesuffix(chr(92)).strip()}\n" for line in lines if "==" in line))
    install = [tool, "pip", "install", "--quiet", "--python", str(folder / "bin/python"), "--constraints", str(lock)]
    # the engine lists packages with pip
    subprocess.run([*install, str(wheel), "pip"], check=True)
    return folder


def project(folder: Path, venv: Path) -> Path:
    """The program's folder, with its Pulumi.yaml."""
    folder.mkdir()
    settings = {
        "name": "mine",
        "runtime": {"name": "python", "options": {"virtualenv": str(venv)}},
        "plugins": {"providers": [{"name": "pollex", "path": str(venv / "bin")}]},
    }
    (folder / "Pulumi.yaml").write_text(yaml.safe_dump(settings, sort_keys=False))
    (folder / "__main__.py").write_text(PROGRAM)
    return folder


def pulumi(folder: Path, venv: Path, *arguments: str) -> str:
    """What Pulumi says of the program, run as by somebody who has activated the environment.

    Raises:
        RuntimeError: it failed; both outputs are in the error.
    """
    toolchain = CHECKOUT / ".toolchain"
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PULUMI_", "PYTHON"))}
    state = folder.parent / "state"
    state.mkdir(exist_ok=True)
    own = {
        "PATH": f"{venv / 'bin'}:{toolchain / 'bin'}:{toolchain / 'libexec'}:{os.environ['PATH']}",
        "VIRTUAL_ENV": str(venv),
        "PULUMI_HOME": str(toolchain / "home"),
        "PULUMI_BACKEND_URL": state.as_uri(),
        "PULUMI_CONFIG_PASSPHRASE": "own",
        "PULUMI_SKIP_UPDATE_CHECK": "true",
    }
    command = [str(toolchain / "libexec/pulumi"), *arguments, "--cwd", str(folder), "--non-interactive"]
    done = subprocess.run(
        command, env=kept | own, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: exit {done.returncode}\n{done.stdout}")
    return done.stdout
