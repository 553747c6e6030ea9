"""What a change means to its reviewer: plans, generated files and keys, against another revision.

    python -m infra.review render FILE FOLDER   everything that a stack file generates, into a folder; pure
    python -m infra.review sbom STACK FOLDER    of these only what says what it consists of (SPDX)
    python -m infra.review diff BASE            what differs between BASE and this tree, for every stack, as Markdown
    python -m infra.review plan                 the resource plan of every stack, from empty state

Neither needs a board, a network or a stack's secrets. `make preview` runs the last two, `make sbom` the second.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import yaml

from infra import ROOT
from infra.core import patches, stackfile
from infra.core.report import ConfigError
from infra.core.settings import NAMESPACE
from infra.kinds import table


def render(file: Path) -> dict[str, str]:
    """Every text that a stack generates by name, its keys among them.

    Raises:
        spec.ConfigError: the stack file is wrong.
        patches.PatchError: the patch series is wrong.
    """
    stack = table.parse(stackfile.values(file), file=f"stacks/{file.name}")
    return table.files(stack)


KEYS = "keys.json"


def render_tree(tree: Path, folder: Path) -> dict[str, str]:
    """Render every stack of a tree with that tree's own code into `folder`/<stack>; what failed, by stack."""
    failures = {}
    for file in stackfile.stack_files(tree):
        target = folder / stackfile.stack_name(file)
        target.mkdir(parents=True)
        command = [sys.executable, "-m", "infra.review", "render", str(file), str(target)]
        environment = {**os.environ, "PYTHONPATH": str(tree)}
        done = subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            failures[stackfile.stack_name(file)] = (done.stderr.strip() or "no output").splitlines()[-1]
    return failures


def diff(base: str) -> Iterator[str]:
    """Markdown: the generated files and keys of every stack, in this tree against revision `base`."""
    with tempfile.TemporaryDirectory(prefix="pollex-review-") as temporary:
        work = Path(temporary)
        checkout(base, work / "tree")
        (work / "before").mkdir()
        (work / "after").mkdir()
        for label, tree, folder in (("before", work / "tree", work / "before"), ("after", ROOT, work / "after")):
            for stack, failure in render_tree(tree, folder).items():
                yield f"**{stack}: could not be rendered {label} the change:** {failure}\n"
        yield from _keys(work)
        command = ["git", "diff", "--no-index", "--no-color", "--", "before", "after"]
        shown = subprocess.run(command, cwd=work, capture_output=True, text=True, check=False).stdout
        yield f"### Generated files against {base}\n"
        yield f"```diff\n{shown}```\n" if shown else "No generated file changes.\n"


def checkout(revision: str, folder: Path) -> None:
    """Put a revision's tree into a new folder, without touching the working tree or the index.

    Raises:
        SystemExit: there is no such revision here.
    """
    folder.mkdir()
    archive = subprocess.run(["git", "archive", revision], cwd=ROOT, capture_output=True, check=False)
    if archive.returncode:
        sys.exit(f"{revision}: {archive.stderr.decode().strip()}; fetch it, or name another with `make preview BASE=…`")
    subprocess.run(["tar", "-x", "-C", str(folder)], input=archive.stdout, check=True)


def _keys(work: Path) -> Iterator[str]:
    """A table of the keys that change, which is what will be made anew."""
    yield "### Keys\n\n| stack | artefact | before | after | |\n|---|---|---|---|---|"
    stacks = sorted({folder.name for side in ("before", "after") for folder in (work / side).iterdir()})
    for stack in stacks:
        before, after = (_read_keys(work / side / stack / KEYS) for side in ("before", "after"))
        for name in sorted({*before, *after}):
            old, new = before.get(name, ""), after.get(name, "")
            means = (
                "" if old == new else {"generation": "**activated anew**"}.get(name.rpartition("/")[2], "**made anew**")
            )
            yield f"| {stack} | {name} | {old[:12]} | {new[:12]} | {means} |"
    yield ""


def _read_keys(file: Path) -> dict[str, str]:
    return dict(json.loads(file.read_text())) if file.exists() else {}


def plans() -> Iterator[str]:
    """Markdown: the engine's plan of every stack from empty state, in a backend of its own.

    Where a provider's plugin cannot be had, the resources come from the program alone, and the text says so.
    """
    with tempfile.TemporaryDirectory(prefix="pollex-plan-") as temporary:
        for file in stackfile.stack_files(ROOT):
            stack = stackfile.stack_name(file)
            yield f"### Plan of {stack}\n"
            done = _preview(stack, file, Path(temporary))
            if done.returncode and "no resource plugin" in done.stdout + done.stderr:
                yield "A provider's plugin cannot be had here: the program's own graph, unchecked by an engine.\n"
                done = _graph(stack, file)
            if done.returncode:
                yield f"**failed:**\n```\n{(done.stdout + done.stderr).strip()}\n```\n"
                raise SystemExit(1)
            yield f"```\n{done.stdout.strip()}\n```\n"


def _preview(stack: str, file: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    """`pulumi preview` with a state, a passphrase and a copy of the stack file that nobody else uses."""
    backend, copy = folder / "state", folder / file.name
    backend.mkdir(exist_ok=True)
    content = yaml.safe_load(file.read_text())
    content.pop("encryptionsalt", None)
    content["config"] = {f"{NAMESPACE}:{key}": value for key, value in stackfile.values(file).items()}
    copy.write_text(yaml.safe_dump(content))
    environment = {
        **os.environ,
        "PULUMI_BACKEND_URL": backend.as_uri(),
        "PULUMI_CONFIG_PASSPHRASE": "preview",
        "PULUMI_SKIP_UPDATE_CHECK": "true",
    }
    pulumi = shutil.which("pulumi")
    if pulumi is None:
        sys.exit("pulumi is not on PATH: run this through `make preview`, or `. ./activate` first")
    quiet = ["--non-interactive", "--suppress-progress", "--color", "never"]
    asked = ["preview", "--stack", stack, "--config-file", str(copy), *quiet]
    return subprocess.run([pulumi, *asked], cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


def _graph(stack: str, file: Path) -> subprocess.CompletedProcess[str]:
    """The resources that the program declares, one a line as the engine would show them."""
    command = [sys.executable, "-m", "infra.graph", stack, str(file)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        lines = [
            f"+ {seen['type']} {seen['name']}" + (f" after {', '.join(seen['dependsOn'])}" if seen["dependsOn"] else "")
            for seen in json.loads(done.stdout)["resources"]
        ]
        done.stdout = "\n".join(lines)
    return done


def _write(file: Path, folder: Path, ending: str = "") -> list[Path]:
    """The files that were written: those whose names end so."""
    try:
        made = render(file)
    except (ConfigError, patches.PatchError) as error:
        sys.exit(str(error))
    folder.mkdir(parents=True, exist_ok=True)
    files = {folder / name: text for name, text in made.items() if name.endswith(ending)}
    for path, text in files.items():
        path.write_text(text)
    return list(files)


def _sbom(stack: str, folder: Path) -> None:
    """Write what a stack consists of, and say where."""
    file = ROOT / "stacks" / f"Pulumi.{stack}.yaml"
    if not file.is_file():
        known = ", ".join(stackfile.stack_name(one) for one in stackfile.stack_files(ROOT))
        sys.exit(f"there is no {file.relative_to(ROOT)}; the stacks: {known}")
    written = _write(file, folder, ".spdx.json")
    if not written:
        sys.exit(f"stack {stack} deploys images that have theirs beside them in the registry: make sbom STACK=image")
    print(*written, sep="\n")


def main() -> None:
    """Run one of the commands."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("render", help="write what a stack file generates into a folder")
    one.add_argument("file", type=Path)
    one.add_argument("folder", type=Path)
    parts = commands.add_parser("sbom", help="write what a stack consists of into a folder, as SPDX")
    parts.add_argument("stack")
    parts.add_argument("folder", type=Path)
    commands.add_parser("diff", help="generated files and keys against a revision").add_argument("base")
    commands.add_parser("plan", help="the plan of every stack")
    given = parser.parse_args()
    if given.command == "render":
        _write(given.file, given.folder)
        return
    if given.command == "sbom":
        _sbom(given.stack, given.folder)
        return
    for part in diff(given.base) if given.command == "diff" else plans():
        print(part)


if __name__ == "__main__":
    main()
