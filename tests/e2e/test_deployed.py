"""One deployed board, whose build was kept, and what needs no compiling: cut runs, secrets, a board without network.

The tests share the board and stand in order; where no build was kept yet, the first run compiles it.
"""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

import pytest

from infra.core import signing
from pollex import keys
from sandbox import mirror
from sandbox.__main__ import SENTENCE, keep_build, polish
from sandbox.board import Board
from sandbox.deployment import Deployment, deploy
from sandbox.engine import Result
from sandbox.mirror import Mirror
from tests.e2e import canary
from tests.e2e import test_life as life
from tests.e2e.standby import standing_by
from tests.waiting import read_until

pytestmark = pytest.mark.timeout(1800)

STORE = "/opt/pollex/store"


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """The board and its stack, up."""
    with (
        deploy("e2e-deployed", tmp_path_factory.mktemp("deployed")) as made,
        Mirror(mirror.directory(), made.board.gateway) as kept,
    ):
        made.values["pollex:substituters"] = mirror.substituters(f"{kept.url}/store")
        made.write()
        made.pulumi.up()
        keep_build(made.board, f"{made.pulumi.outputs()['key']}-llama-server")
        yield made


def nothing_lost(deployed: Deployment) -> None:
    """A polish is answered, and the store holds whole paths alone."""
    declared = deployed.pulumi.outputs()
    assert "library" in polish(declared["page"], declared["model"], SENTENCE)
    names = deployed.board.run(f"ls -A {STORE}").stdout.split()
    assert [name for name in names if not re.fullmatch(r"[0-9a-f]{32}-[\w.-]+", name)] == []
    check = f"for path in {STORE}/*; do cd $path && sha256sum --check --quiet --strict .sha256sums || exit; done"
    deployed.board.run(check, user="root")


class Silent:
    """A mirror that takes a request and says nothing, as long as a `with` block runs."""

    def __init__(self, address: str) -> None:
        self._socket = socket.create_server((address, 0))
        self.url = "http://{}:{}".format(*self._socket.getsockname())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()


def changed(deployed: Deployment, stage: str, silent: str, number: int) -> tuple[dict[str, Any], str]:
    """What is declared anew, and the line of `up` that says that the stage has been reached."""
    if stage == "upload":
        source = deployed.project / "service/pollex/serve.py"
        source.write_text(f"{source.read_text()}# {number}\n")
        return {}, r"sending [\d.]+ MB"
    if stage == "model":
        mirrors = [f"{silent}/model.gguf", deployed.values["pollex:model"]["url"]]
        # another path is another derivation, so that the file is fetched at all
        path = f"/opt/llama-models/again-{number}.gguf"
        return {"model__url": mirrors[0], "model__mirrors": mirrors[1:], "model__path": path}, "downloading from"
    return {"server__context": 1024 + 256 * number}, "restarting llama-server"


FAULTS = ("up is killed by SIGKILL", "SSH is cut", "the board reboots", "power is cut")
CUT = "pkill -KILL -u manu sshd || pkill -KILL -f 'sshd: manu'"
READY = "until curl -sf localhost:8090/readyz; do sleep 0.5; done"


@pytest.mark.fault(
    "up",
    "a generation serves; a bundle, a model, or the gate of a new one is under way",
    "up is killed, SSH is cut, the board reboots, power is cut",
    "nothing half-written; the next up converges",
)
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("stage", ["upload", "model", "activation"])
def test_a_cut_up_is_ended_by_the_next(deployed: Deployment, stage: str, fault: str) -> None:
    """If this fails, whoever closes the laptop or trips over the cable has to mend a board, or a state, by hand."""
    before = deployed.pulumi.outputs()
    number = 4 * ["upload", "model", "activation"].index(stage) + FAULTS.index(fault)
    with Silent(deployed.board.gateway) as silent, ExitStack() as stack:
        values, reached = changed(deployed, stage, silent.url, number)
        deployed.write(**values)
        cut = stack.enter_context(standing_by(deployed.board, CUT)) if fault == "SSH is cut" else None
        process = deployed.pulumi.popen_up()
        read_until(reached, process.stdout)
        if fault == "up is killed by SIGKILL":
            os.killpg(process.pid, signal.SIGKILL)
        elif cut is not None:
            cut()
        elif fault == "the board reboots":
            deployed.board.reboot()
        else:
            deployed.board.kill()
        said = life.finished(process)
        assert process.returncode != 0, said
        if fault == "power is cut":
            deployed.board.start()
            deployed.board.wait_ready()
        if fault == "up is killed by SIGKILL":
            deployed.unlock()
    if stage != "activation":
        # a board that has just started loads its model first, which the command waits for
        deployed.board.run(READY)
        assert "library" in polish(before["page"], before["model"], SENTENCE)
    done = deployed.pulumi.up("--refresh")
    assert deployed.pulumi.outputs()["generation"] == deployed.status()["generation"], done.stdout
    nothing_lost(deployed)
    assert deployed.pulumi.up("--refresh").changes == {}
    # so that the next test begins with what the stack file says without changes
    deployed.write()
    deployed.pulumi.up()


SECRETS = ("polish.apiKey", "polish.claudeApiKey", "polish.llamacppApiKey", "privateKeyPassword")
MEANT = re.compile(r"/etc/pollex/secrets\.env|/opt/pollex/generations/[^/]+/content/[0-9a-f]{64}")
"""The files on a board that are for secrets, and what a generation keeps of them for the way back."""


def set_secret(deployed: Deployment, name: str, secret: str) -> str:
    """As a person does; what was said."""
    place = ["--path", f"pollex:{name}", "--config-file", str(deployed.config_file)]
    return str(deployed.pulumi.run("config", "set", "--secret", *place, text=secret))


def locked_key(board: Board, folder: Path, password: str) -> str:
    """The board's key, with a password."""
    copy = folder / "id"
    copy.write_bytes(board.private_key.read_bytes())
    copy.chmod(0o600)
    # the one place where ssh-keygen takes it is its command line, which is read before anything is searched
    subprocess.run(["ssh-keygen", "-q", "-p", "-P", "", "-N", password, "-f", copy], check=True, capture_output=True)
    text = copy.read_text()
    copy.unlink()
    return text


@pytest.fixture(scope="module")
def secrets(deployed: Deployment, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What was made up for the stack, each by its setting; the stack file declares them from here on."""
    made = {name: canary.made_up() for name in SECRETS}
    made["privateKey"] = locked_key(deployed.board, tmp_path_factory.mktemp("key"), made["privateKeyPassword"])
    made["cachePrivateKey"] = signing.new_key()
    made["polish.apiKeys"] = keys.new()
    return made


def needles_of(secrets: dict[str, str]) -> set[bytes]:
    """What must not be found: of a key in lines, a line from its middle."""
    told = (text.splitlines()[len(text.splitlines()) // 2] for text in secrets.values())
    return {form for secret in told for form in canary.forms(secret)}


def test_secrets_stay_where_they_belong(deployed: Deployment, secrets: dict[str, str], tmp_path: Path) -> None:
    """If this fails, a secret of the stack can be read in a state, a log, a process list, or on the board."""
    needles = needles_of(secrets)
    del deployed.values["pollex:host"]["privateKeyFile"]
    deployed.values["pollex:polish"]["apiKeys"] = {"ana": keys.hashed(secrets["polish.apiKeys"])}
    deployed.values["pollex:publish"] = str(tmp_path / "cache")
    deployed.write()
    with canary.Argv(needles) as argv:
        said = "".join(
            set_secret(deployed, name, secret) for name, secret in secrets.items() if name != "polish.apiKeys"
        )
        said += told(deployed.pulumi.preview("--diff"))
        said += told(deployed.pulumi.up("--diff"))
        said += asked(deployed, secrets)
        said += told(deployed.pulumi.refresh("--diff"))
        for place, value, stays in (
            ("polish.memoryMb", "none", "memoryMb"),
            ("server.extraArgs[0]", "--no-such", "returned to"),
        ):
            config = ["--path", f"pollex:{place}", "--config-file", str(deployed.config_file)]
            deployed.pulumi.run("config", "set", *config, "--", value)
            refused = deployed.pulumi.up(check=False)
            deployed.pulumi.run("config", "rm", *config)
            assert refused.status != 0
            assert stays in f"{refused}"
            said += told(refused)
        # a core dump of the service, if it makes one
        deployed.board.run(f"systemctl kill -s ABRT pollex.service; {READY}", user="root")
        said += told(deployed.pulumi.up("--refresh", "--diff"))
        said += status(deployed)
    said += f"{deployed.pulumi.run('stack', 'export').stdout}{deployed.pulumi.outputs()}"
    said += told(deployed.pulumi.run("config", "--config-file", str(deployed.config_file)))
    assert argv.seen > 0
    assert argv.found == set()
    assert [needle for needle in needles if needle in said.encode()] == []
    assert canary.in_folder(deployed.config_file.parent, needles) == []
    assert canary.in_folder(tmp_path, needles) == []
    held = canary.on_board(deployed.board, needles)
    assert "/etc/pollex/secrets.env" in held, "nothing was searched"
    assert [place for place in held if not MEANT.fullmatch(place)] == []
    owners = deployed.board.run(f"stat -c '%a %U' {' '.join(held)}", user="root").stdout.splitlines()
    assert set(owners) == {"600 root"}
    (pid,) = deployed.show("MainPID", unit="pollex.service")
    limits = deployed.board.run(f"cat /proc/{pid}/limits", user="root").stdout
    assert re.findall(r"Max core file size +(\S+)", limits) == ["0"]


def told(done: Result) -> str:
    """Everything that a run says, to people and to programs."""
    return f"{done.stdout}{done.stderr}{done.events}"


def asked(deployed: Deployment, secrets: dict[str, str]) -> str:
    """What the service answers to right and wrong keys, which it must not repeat."""
    page = deployed.pulumi.outputs()["page"]
    said = ""
    for name, status_code in (("polish.apiKey", 200), ("polish.apiKeys", 200), ("polish.claudeApiKey", 401)):
        for path in ("/api/models", "/metrics", f"/api/models?key={'x' * 8}"):
            answer = life.asked(page + path, secrets[name])
            said += f"{answer.headers}{answer.text}"
            assert path == "/metrics" or answer.status_code == status_code, answer.text
    return said


def status(deployed: Deployment) -> str:
    """What `make status` says."""
    command = [sys.executable, "-m", "infra.status", deployed.pulumi.stack, "--file", str(deployed.config_file)]
    done = subprocess.run(
        command, cwd=deployed.project, env=deployed.pulumi.env(), capture_output=True, text=True, check=False
    )
    return done.stdout + done.stderr


def test_a_board_without_network_is_set_up_from_one_file(
    deployed: Deployment, secrets: dict[str, str], tmp_path: Path
) -> None:
    """If this fails, a house without a line to the world has no polisher, or whoever carries the file has its keys."""
    site, key = tmp_path / "site.tar", signing.new_key()
    with site.open("wb") as file:
        subprocess.run([*deployed.board.ssh("root"), "pollex-host export -"], stdout=file, check=True)
    assert canary.in_folder(tmp_path, needles_of(secrets)) == []
    with site.open("rb") as content:
        signature = signing.file_signature(key, content)
    texts = {"/etc/pollex/secrets.env": deployed.board.run("cat /etc/pollex/secrets.env", user="root").stdout}
    with Board.temporary("e2e-island") as island:
        # what a distribution's own medium would bring
        island.run("apt-get update -qq && apt-get install -y -qq libgomp1 openssl python3 curl >/dev/null", user="root")
        with site.open("rb") as content:
            subprocess.run([*island.ssh("root"), "cat >/root/site.tar"], stdin=content, check=True)
        island.run("cat >/root/site.tar.sig", input=signature, user="root")
        network = ["ip", "-n", island.network.name]
        subprocess.run([*network, "link", "set", "eth0", "down"], check=True)
        assert subprocess.run([*network, "route"], check=True, capture_output=True).stdout == b""

        def inside(command: str, text: str = "") -> subprocess.CompletedProcess[str]:
            enter = ["nsenter", "--target", str(island.guest.init()), "--all", "sh", "-c", command]
            return subprocess.run(enter, input=text, capture_output=True, text=True, check=False)

        members = "tools python" if has_python(site) else "tools"
        assert inside(f"mkdir /root/site && tar -xf /root/site.tar -C /root/site {members}").returncode == 0
        verb = f"sh /root/site/tools/pollex-host import /root/site.tar --public-key {signing.public_key(key)}"
        lacking = inside(verb)
        assert lacking.returncode == 1, lacking.stderr
        assert "everything of /root/site.tar is there, but for what only root may read: /etc/pollex/secrets.env" in (
            lacking.stderr
        )
        done = inside(f"{verb} --secrets", json.dumps(texts))
        assert done.returncode == 0, done.stderr
        answer = json.loads(done.stdout)
        assert answer["live"]["service pollex.service"] == "active"
        assert answer["generation"] == deployed.status()["generation"]
        asked = json.dumps({"text": SENTENCE, "model_id": deployed.values["pollex:model"]["name"]})
        words = f"-H 'Content-Type: application/json' -H 'X-API-Key: {secrets['polish.apiKey']}' --data-binary @-"
        polished = inside(f"curl -sS -f {words} http://127.0.0.1:8090/api/polish", asked)
        assert polished.returncode == 0, polished.stderr
        assert "library" in json.loads(polished.stdout)["polished"]
        again = inside(
            f"pollex-host import /root/site.tar --public-key {signing.public_key(key)} --secrets", json.dumps(texts)
        )
        assert again.returncode == 0, again.stderr
        assert json.loads(again.stdout)["changed"] == []


def has_python(site: Path) -> bool:
    """Whether an interpreter is in such a file."""
    with tarfile.open(site) as members:
        return any(name.startswith("python/") for name in members.getnames())
