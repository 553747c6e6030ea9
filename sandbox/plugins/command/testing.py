"""What a contract test needs: SSH servers of its own, and the real engine with one provider under test."""

from __future__ import annotations

import contextlib
import getpass
import json
import multiprocessing
import os
import shlex
import shutil
import signal
import socket
import subprocess
import time
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import psutil
from pulumi import automation
from pulumi.automation import errors

from sandbox.serving import NEVER, free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pulumi.automation import EngineEvent

with warnings.catch_warnings():
    # The SDK tells whoever imports it that its resource CopyFile is deprecated, which nothing here uses.
    warnings.simplefilter("ignore", DeprecationWarning)
    from pulumi_command.remote import ConnectionArgs

CHECKOUT = Path(__file__).parents[3]
STAND_IN = Path(__file__).with_name("pulumi-resource-command")


class MissingToolError(Exception):
    """A program that the tests drive is not on this machine; the message says how to get it."""


def keypair(path: Path, kind: str = "ed25519", passphrase: str = "") -> Path:
    """Makes an SSH key of a kind, such as ecdsa, or ecdsa-384; the public half lies beside it as `PATH.pub`."""
    name, _, bits = kind.partition("-")
    size = ["-b", bits] if bits else []
    subprocess.run(["ssh-keygen", "-q", "-t", name, *size, "-N", passphrase, "-C", "", "-f", str(path)], check=True)
    return path


@dataclass(frozen=True, slots=True)
class Sshd:
    """OpenSSH's own server on loopback, for the user who runs the test; it lives in one folder."""

    folder: Path
    port: int

    CONFIG = """
        ListenAddress 127.0.0.1
        AuthorizedKeysFile {folder}/id.pub
        HostKey {folder}/host
        PidFile none
        UsePAM no
        StrictModes no
        PasswordAuthentication no
        KbdInteractiveAuthentication no
        PermitRootLogin prohibit-password
        AcceptEnv GREETING PULUMI_COMMAND_STDOUT
        SetEnv HOME={folder}/home
        Subsystem sftp internal-sftp -d {folder}/home
        LogLevel VERBOSE
    """

    @classmethod
    @contextlib.contextmanager
    def running(cls, folder: Path, kind: str = "ed25519") -> Iterator[Self]:
        """A server that is ready, with a fresh host key of a kind and a fresh login key; stopped at the end."""
        program = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin")
        if program is None:
            raise MissingToolError("no sshd on this machine: apt-get install openssh-server")
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # where sshd of Debian confines itself
        (folder / "home").mkdir(parents=True)
        keypair(folder / "id")
        keypair(folder / "host", kind)
        server = cls(folder, free_port())
        (folder / "config").write_text(cls.CONFIG.format(folder=folder))
        command = [program, "-D", "-f", str(folder / "config"), "-p", str(server.port), "-E", str(folder / "log")]
        with subprocess.Popen(command) as process:
            try:
                server.wait()
                yield server
            finally:
                process.terminate()

    def wait(self) -> None:
        """Returns once the server answers."""
        deadline = time.monotonic() + NEVER
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
            else:
                return

    @property
    def home(self) -> Path:
        """Where relative remote paths start."""
        return self.folder / "home"

    @property
    def log(self) -> str:
        """What the server wrote about its sessions."""
        return (self.folder / "log").read_text()

    @property
    def host_key(self) -> str:
        """The server's public key."""
        return (self.folder / "host.pub").read_text()

    @property
    def private_key(self) -> str:
        """The key that opens the server."""
        return (self.folder / "id").read_text()

    def connection(self, **changed: Any) -> ConnectionArgs:
        """A `connection` input for this server, some of its entries replaced, or left out by None."""
        return ConnectionArgs(**self.arguments(**changed))

    def arguments(self, **changed: Any) -> dict[str, Any]:
        """The same as the arguments of ConnectionArgs."""
        declared: dict[str, Any] = {
            "host": "127.0.0.1",
            "port": self.port,
            "user": getpass.getuser(),
            "private_key": self.private_key,
            "host_key": self.host_key,
            "dial_error_limit": 0,
        }
        return {key: value for key, value in (declared | changed).items() if value is not None}


@dataclass(slots=True)
class Result:
    """What one operation of the engine did."""

    failure: str | None = None
    """The CLI's own output when it ended with an error."""
    outputs: dict[str, Any] = field(default_factory=dict)
    steps: list[tuple[str, str]] = field(default_factory=list)
    """(operation, resource's name), in the order in which the engine decided on them; nothing for what stays."""
    diffs: dict[str, dict[str, str]] = field(default_factory=dict)
    """By resource: what became of which property."""
    messages: list[tuple[str, str, bool, str]] = field(default_factory=list)
    """(resource's name, severity, whether it passed by in the progress display only, text)."""

    def take(self, event: EngineEvent) -> None:
        """Notes what an event of the engine tells."""
        if event.diagnostic_event is not None and event.diagnostic_event.severity != "debug":
            told = event.diagnostic_event
            self.messages.append(
                (_name(told.urn or ""), told.severity, bool(told.ephemeral), told.message.rstrip("\n"))
            )
        if event.resource_pre_event is not None:
            step = event.resource_pre_event.metadata
            if step.op != "same" and "command:remote" in step.urn:
                self.steps.append((step.op.value, _name(step.urn)))
                self.diffs[_name(step.urn)] = {k: v.diff_kind.value for k, v in (step.detailed_diff or {}).items()}

    def shown(self, name: str) -> list[str]:
        """The lines that passed by in the progress display for a resource."""
        return [
            text
            for resource, severity, passing, text in self.messages
            if (resource, severity, passing) == (name, "info", True)
        ]

    def told(self, name: str, severity: str) -> list[str]:
        """The messages about a resource that stay in the final output."""
        return [
            text
            for resource, level, passing, text in self.messages
            if (resource, level, passing) == (name, severity, False)
        ]


def _name(urn: str) -> str:
    return urn.rpartition("::")[2]


def _apart(work: Callable[[], Result]) -> Result:
    """The result of `work` in a process of its own: of a failed operation the SDK leaves loops and sockets behind."""
    context = multiprocessing.get_context("fork")  # so that a program may be any function of a test
    receiver, sender = context.Pipe(duplex=False)

    def child() -> None:
        warnings.simplefilter("ignore")
        sender.send(work())

    process = context.Process(target=child)
    process.start()
    sender.close()
    with receiver:
        try:
            result: Result = receiver.recv()
        finally:
            process.join()
    return result


class Workshop:
    """A Pulumi project and stack in a folder of their own, with one provider under test.

    Its operations take the program as a function, which spares a language host.
    """

    def __init__(self, folder: Path, tools: list[Path], provider: Path) -> None:
        """`tools` is where to look for the CLI and its Python host, `provider` the plugin's executable."""
        self.folder = folder
        self.programs = folder / "bin"
        self.programs.mkdir(parents=True)
        for name in ("pulumi", "pulumi-language-python", "pulumi-language-python-exec"):
            found = shutil.which(name, path=os.pathsep.join(map(str, tools)))
            if found is None:
                raise MissingToolError(f"no {name} in {' or '.join(map(str, tools))}: make toolchain")
            program = Path(found).resolve()
            (self.programs / name).symlink_to(program)
            tools = [*tools, program.parent]  # what belongs to the CLI lies beside it
        (self.programs / "pulumi-resource-command").symlink_to(provider)
        (folder / "project").mkdir()
        self.environment = {
            "PATH": f"{self.programs}:{CHECKOUT}/.venv/bin:{os.environ['PATH']}",
            "PULUMI_HOME": str(folder / "pulumi"),
            "PULUMI_BACKEND_URL": f"file://{folder}",
            "PULUMI_CONFIG_PASSPHRASE": "contract",
            "PULUMI_SKIP_UPDATE_CHECK": "true",
            "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
            "SSH_AUTH_SOCK": "",
        }

    def up(self, program: Callable[[], None]) -> Result:
        """`pulumi up`."""
        return self._do("up", program)

    def preview(self, program: Callable[[], None]) -> Result:
        """`pulumi preview`."""
        return self._do("preview", program)

    def refresh(self) -> Result:
        """`pulumi refresh`."""
        return self._do("refresh")

    def destroy(self) -> Result:
        """`pulumi destroy`."""
        return self._do("destroy")

    def _do(self, operation: str, program: Callable[[], None] | None = None) -> Result:
        options = automation.LocalWorkspaceOptions(
            work_dir=str(self.folder / "project"),
            pulumi_home=self.environment["PULUMI_HOME"],
            env_vars=self.environment,
            pulumi_command=automation.PulumiCommand(str(self.folder)),
        )

        def work() -> Result:
            result = Result()
            stack = automation.create_or_select_stack(
                "test", project_name="contract", program=program or (lambda: None), opts=options
            )
            try:
                done = getattr(stack, operation)(on_event=result.take)
            except errors.CommandError as error:
                result.failure = str(error)
            else:
                result.outputs = {key: output.value for key, output in getattr(done, "outputs", {}).items()}
            return result

        return _apart(work)

    @contextlib.contextmanager
    def running(self, *arguments: str, **variables: str) -> Iterator[subprocess.Popen[str]]:
        """The CLI with the arguments, on a whole program in the project's folder, as a shell starts it."""
        with subprocess.Popen(
            [str(self.programs / "pulumi"), *arguments, "--stack", "test", "--non-interactive"],
            cwd=self.folder / "project",
            env=os.environ | self.environment | variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        ) as process:
            try:
                yield process
            finally:
                # A language host outlives an engine that was killed; it looks for it every five minutes only.
                for left in self._processes():
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(left, signal.SIGKILL)

    def plugins(self) -> list[str]:
        """The command lines of the provider under test, as far as it runs."""
        lines = self._processes().values()
        return [line for line in lines if "pulumi-resource-command" in line or "sandbox.plugins.command" in line]

    def _processes(self) -> dict[int, str]:
        """The command lines of all that was started in this workshop and still runs, by process id."""
        return {
            process.pid: " ".join(process.info["cmdline"] or ())
            for process in psutil.process_iter(["cmdline", "environ"])
            if (process.info["environ"] or {}).get("PULUMI_HOME") == self.environment["PULUMI_HOME"]
        }

    def state(self, *, secrets: bool = True) -> dict[str, dict[str, Any]]:
        """The state's resources of the provider by name, with secrets in clear or as they are stored."""
        command = shlex.split("pulumi stack export --stack test") + ["--show-secrets"] * secrets
        exported = subprocess.run(
            command,
            cwd=self.folder / "project",
            env=os.environ | self.environment,
            check=True,
            capture_output=True,
        ).stdout
        resources = json.loads(exported)["deployment"].get("resources", [])
        return {_name(r["urn"]): r for r in resources if r["type"].startswith("command:remote:")}
