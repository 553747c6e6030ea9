"""What the tool itself costs: a first `up`, and two that find everything as declared, beside pyinfra and Ansible.

    python -m bench.up [--first N] [--runs N]

Prints a table and writes build/bench/up.json. All three do the same steps on stand-in boards: packages, finished
builds, the model, links, files, units, running services. What is finished comes from a mirror, so that no compiler
is measured. For the first run each has a fresh board of its own; for the others they share one board and take turns,
and every run must change nothing. Connections and round trips are counted on the board's cable (bench/packets.py).
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import shutil
import subprocess
import tarfile
import tempfile
import time
import venv
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import record
from bench.packets import Watch
from infra import ROOT
from infra.core import stackfile
from infra.core.derivation import sha256
from infra.kinds import table
from infra.kinds.host import plan
from infra.kinds.host.component import packages
from infra.kinds.host.spec import HostStack
from infra.toolchain.once import cache
from sandbox import mirror
from sandbox.__main__ import keep_build
from sandbox.board import Board
from sandbox.deployment import Deployment, deploy
from sandbox.engine import Pulumi
from sandbox.machine import say

PEERS = ROOT / "bench" / "peers"
VERSIONS = ("pyinfra==3.10.0", "ansible-core==2.19.14")
STORE = "/opt/pollex/store"


def peers() -> Path:
    """The programs of a virtual environment that holds the peers, made once."""
    folder = cache() / "peers" / sha256(" ".join(VERSIONS))[:32]
    if not (folder / "ready").exists():
        say(f"installing {', '.join(VERSIONS)}")
        venv.create(folder, with_pip=True, clear=True)
        pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, *VERSIONS], check=True)
        (folder / "ready").touch()
    return folder / "bin"


@dataclass(frozen=True, slots=True, kw_only=True)
class Steps:
    """One deployment's declaration, as the peers read it."""

    values: Mapping[str, Any]
    items: tuple[str, ...]
    """Store paths that come as archives."""

    @classmethod
    def of(cls, deployed: Deployment) -> Steps:
        """What the stack of `deployed` declares; the archives' hashes are those of the mirror's files."""
        stack = table.parse(stackfile.values(deployed.config_file), file=deployed.config_file.name)
        if not isinstance(stack, HostStack):
            raise SystemExit("error: the sandbox's stack is of another kind")
        made = plan.load(stack)
        if made.bundle is None:
            raise SystemExit("error: the sandbox's stack declares no polish service")
        units = made.generation.manifest.units
        url = deployed.values["pollex:model"]["url"].rpartition("/")[0]
        programs = {made.build.item: "bin/llama-server", made.bundle.item: "bin/pollex"}
        values = {
            "packages": list(packages(stack)),
            "store": STORE,
            "archives": [_archive(item, program, url) for item, program in programs.items()],
            "model": {
                "url": stack.model.url,
                "sha256": stack.model.sha256,
                "path": f"{STORE}/{made.model.item}/{Path(stack.model.path).name}",
            },
            "links": {link.path: link.target for unit in units for link in unit.links},
            "files": [
                {"path": file.path, "mode": file.mode, "text": file.text} for unit in units for file in unit.files
            ],
            "units": {unit.name: unit.text for unit in units},
        }
        return cls(values=values, items=tuple(programs))


def _archive(item: str, program: str, url: str) -> dict[str, str]:
    """A finished store path at the mirror; its hashes are empty while it is not there."""
    file = mirror.directory() / "store" / f"{item}.tar.gz"
    whole = inside = ""
    if file.exists():
        whole = hashlib.sha256(file.read_bytes()).hexdigest()
        with tarfile.open(file) as packed:
            found = packed.extractfile(f"{item}/{program}")
            inside = hashlib.sha256(found.read()).hexdigest() if found is not None else ""
    path = f"{STORE}/{item}"
    return {
        "url": f"{url}/store/{item}.tar.gz",
        "sha256": whole,
        "path": path,
        "program": f"{path}/{program}",
        "program_sha256": inside,
    }


@contextmanager
def prepared(name: str) -> Iterator[tuple[Deployment, Steps, Path]]:
    """A fresh board, its declaration, and a folder for what the peers read; finished builds are served."""
    with tempfile.TemporaryDirectory(prefix="pollex-bench-") as temporary, deploy(name, Path(temporary)) as deployed:
        served = deployed.served / "store"
        served.mkdir()
        url = deployed.values["pollex:model"]["url"].rpartition("/")[0]
        deployed.values["pollex:substituters"] = mirror.substituters(f"{url}/store")
        deployed.write()
        steps = Steps.of(deployed)
        for item in steps.items:
            for file in (mirror.directory() / "store").glob(f"{item}.*"):
                shutil.copy(file, served)
        (Path(temporary) / "steps.json").write_text(json.dumps(dict(steps.values)))
        yield deployed, steps, Path(temporary)


def finished_builds() -> None:
    """Build once what the measurements take from the mirror; minutes, unless a sandbox was up before."""
    with prepared("bench-up") as (deployed, steps, _):
        kept = mirror.directory() / "store"
        if all((kept / f"{item}.tar.gz").exists() for item in steps.items):
            return
        say("building once what is measured without a compiler")
        deployed.pulumi.up()
        for item in steps.items:
            keep_build(deployed.board, item)


def environment(**added: str) -> dict[str, str]:
    """That of a person's shell: Python may keep what it compiled."""
    unwanted = ("PYTHON", "PULUMI", "ANSIBLE")
    return {**{name: value for name, value in os.environ.items() if not name.startswith(unwanted)}, **added}


Command = tuple[list[str], dict[str, str], str]
"""Words, environment, and a pattern that the output of a run that changed nothing matches."""


def pulumi(deployed: Deployment, _folder: Path, *options: str) -> Command:
    """`pulumi up` of what is deployed on one board."""
    return command(deployed.pulumi, *options)


def command(own: Pulumi, *options: str) -> Command:
    """`pulumi up`, as a person runs it."""
    words = own.command("up", "--yes", "--skip-preview", "--suppress-outputs", "--config-file", str(own.config_file))
    kept = {name: value for name, value in own.env().items() if name.startswith("PULUMI")}
    return [*words, *options], environment(**kept, PYTHONPATH=str(own.project)), r"Resources:\s+\d+ unchanged\s"


def pyinfra(deployed: Deployment, folder: Path) -> Command:
    """Pyinfra with its own SSH client."""
    board = deployed.board
    known = f"ssh_known_hosts_file={board.folder / 'known_hosts'}"
    login = ["--user", board.user, "--key", str(board.private_key), "--data", known, "--sudo"]
    words = [str(peers() / "pyinfra"), "-y", *login, board.address, str(PEERS / "deploy.py")]
    return words, environment(STEPS=str(folder / "steps.json")), r"Grand total +(\d+) +- +- +\1 "


def ansible(deployed: Deployment, folder: Path) -> Command:
    """Ansible at its quickest: pipelining, and one connection kept by ssh for the length of the run."""
    board = deployed.board
    (folder / "inventory").write_text(f"{board.address} ansible_user={board.user}\n")
    # a control socket of this run's own: a connection that an earlier run left open would be no fresh start
    sockets = tempfile.mkdtemp(prefix="ssh-", dir=folder)
    options = f"-F none -o IdentitiesOnly=yes -o UserKnownHostsFile={board.folder / 'known_hosts'}"
    settings = {
        "ANSIBLE_PIPELINING": "true",
        "ANSIBLE_SSH_ARGS": f"{options} -o ControlMaster=auto -o ControlPersist=5",
        "ANSIBLE_SSH_CONTROL_PATH_DIR": sockets,
        "ANSIBLE_PRIVATE_KEY_FILE": str(board.private_key),
        "ANSIBLE_PYTHON_INTERPRETER": "/usr/bin/python3",
        "ANSIBLE_LOCALHOST_WARNING": "false",
    }
    words = [str(peers() / "ansible-playbook"), "-i", str(folder / "inventory"), "-e", f"@{folder / 'steps.json'}"]
    return [*words, str(PEERS / "playbook.yml")], environment(**settings), r"changed=0 .*failed=0"


COMMANDS: Mapping[str, Callable[[Deployment, Path], Command]] = {
    "pulumi up": pulumi,
    "pulumi up --refresh": lambda deployed, folder: pulumi(deployed, folder, "--refresh"),
    "pyinfra": pyinfra,
    "ansible": ansible,
}


def measured(board: Board, command: Command, *, unchanged: bool) -> dict[str, float]:
    """Seconds, connections and round trips of one run.

    Raises:
        SystemExit: it failed, or changed something where nothing was to change.
    """
    words, env, pattern = command
    with Watch(board.network.link) as watch:
        begun = time.monotonic()
        done = subprocess.run(
            words,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        seconds = time.monotonic() - begun
    if done.returncode or (unchanged and not re.search(pattern, done.stdout)):
        raise SystemExit(f"error: {' '.join(words)}: exit status {done.returncode}\n{done.stdout[-4000:]}")
    return {"seconds": seconds, "connections": watch.traffic.connections, "round trips": watch.traffic.round_trips}


Runs = dict[str, list[dict[str, float]]]


def first(times: int) -> Runs:
    """Each tool on a fresh board of its own, in turn."""
    taken: Runs = {"pulumi up": [], "pyinfra": [], "ansible": []}
    for _ in range(times):
        for name in taken:
            with prepared("bench-up") as (deployed, _, folder):
                command = COMMANDS[name](deployed, folder)
                taken[name].append(measured(deployed.board, command, unchanged=False))
                say(f"first, {name}: {taken[name][-1]['seconds']:.1f} s")
    return taken


def unchanged(times: int) -> Runs:
    """All tools on one board that is as declared, taking turns; the first turn warms up and does not count."""
    with prepared("bench-up") as (deployed, _, folder):
        measured(deployed.board, pulumi(deployed, folder), unchanged=False)
        taken: Runs = {name: [] for name in COMMANDS}
        for turn in range(times + 1):
            for name, command in COMMANDS.items():
                run = measured(deployed.board, command(deployed, folder), unchanged=turn > 0)
                if turn > 0:
                    taken[name].append(run)
    return taken


def summary(runs: Runs) -> dict[str, dict[str, Any]]:
    """Spread of the seconds, and the median of the counts, by tool."""
    return {
        name: {
            "seconds": record.spread([one["seconds"] for one in taken], 2),
            **{what: record.spread([one[what] for one in taken])["median"] for what in ("connections", "round trips")},
        }
        for name, taken in runs.items()
    }


def show(title: str, rows: Mapping[str, Mapping[str, Any]]) -> None:
    """Print one table."""
    print(f"{title:24}{'median':>10}{'quartiles':>16}   s{'connections':>14}{'round trips':>14}")
    for name, row in rows.items():
        seconds = row["seconds"]
        between = f"{seconds['q1']:.2f}–{seconds['q3']:.2f}"
        counts = f"{row['connections']:>14.0f}{row['round trips']:>14.0f}"
        print(f"{name:24}{seconds['median']:>10.2f}{between:>16}    {counts}")


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(prog="python -m bench.up", description="Measure what the tool itself costs.")
    parser.add_argument("--first", type=int, default=3, help="fresh boards for each tool")
    parser.add_argument("--runs", type=int, default=9, help="runs of each that change nothing")
    options = parser.parse_args()
    before = record.load()
    finished_builds()
    fresh, settled = summary(first(options.first)), summary(unchanged(options.runs))
    ours = settled["pulumi up --refresh"]["seconds"]["median"]
    best = min(("pyinfra", "ansible"), key=lambda name: settled[name]["seconds"]["median"])
    peer = settled[best]["seconds"]["median"]
    show("first", fresh)
    show("nothing to change", settled)
    print(f"--refresh / {best:13}{ours / peer:>10.2f}")
    record.write(
        {
            "name": "up",
            "unit": f"s, median of a run that checks the host and changes nothing; peer: {best}",
            "ours": ours,
            "peer": peer,
            "runs": options.runs,
            "first_runs": options.first,
            "versions": [f"pulumi {_version()}", *VERSIONS],
            "load_before": before,
            "first": fresh,
            "unchanged": settled,
        }
    )


def _version() -> str:
    shim = ROOT / ".toolchain" / "bin" / "pulumi"
    return subprocess.run([shim, "version"], check=True, capture_output=True, text=True).stdout.strip()


if __name__ == "__main__":
    main()
