"""Files that a generation places: right, closed to others from the first moment, and what was found comes back."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from infra.core import sheet
from infra.kinds.host import generation
from infra.kinds.host.generation import File, Generation, Unit
from sandbox.board import Board
from tests.host.conftest import TOOLS, Host
from tests.host.machine import Machine

SECRET = "KEY=for-root's-eyes-only\n"


def digest(text: str) -> str:
    """The SHA-256 of a text."""
    return sha256(text.encode()).hexdigest()


@dataclass(frozen=True)
class Placed:
    """One row of the section `files`, and its content; a test makes any of it wrong."""

    path: Path | str
    text: str | None = "text\n"
    mode: str = "644"
    name: str = "content"
    hash: str | None = None
    folder: bool = False

    @property
    def row(self) -> str:
        """Its line."""
        found = digest(self.text or "") if self.hash is None else self.hash
        return f"app\t{self.path}\t{self.mode}\t{self.name}\t{found}\n"

    @property
    def section(self) -> str:
        """Its content, if it has one."""
        if self.text is None:
            return ""
        return f"=== content/{self.name}{'/inner' if self.folder else ''}\n{self.text}"


def placing(name: str, *files: Placed) -> str:
    """The sheet of a generation without units, written by hand so that it can be hostile."""
    env = sheet.env({"kind": "generation", "id": name})
    rows = "".join(file.row for file in files)
    return sheet.render({"env": env, "files": rows}) + "".join(file.section for file in files)


@pytest.fixture
def etc(tmp_path: Path) -> Path:
    """A folder of the host's, with a name that a shell or grep would read."""
    folder = tmp_path / "etc [a].*$ 'ü"
    folder.mkdir()
    return folder


def tree(folder: Path) -> dict[str, tuple[object, ...]]:
    """All that is in a folder: kinds, modes, owners and contents."""
    entries: dict[str, tuple[object, ...]] = {}
    for path in sorted(folder.rglob("*")):
        about = path.lstat()
        content = path.readlink() if path.is_symlink() else path.read_bytes() if path.is_file() else None
        entries[str(path.relative_to(folder))] = (oct(about.st_mode), about.st_uid, content)
    return entries


def test_files_are_placed_as_the_sheet_says(odd_host: Host, etc: Path) -> None:
    """The service would run with other settings than the reviewed ones, or with none."""
    plain, secret = etc / "new folder/app.yaml", etc / "secrets.env"
    answer = odd_host.json(
        "activate",
        stdin=placing("g1", Placed(plain, "a: 'ü'\n\n"), Placed(secret, SECRET, mode="600", name="secrets.env")),
    )
    assert (plain.read_text(), plain.stat().st_mode & 0o7777) == ("a: 'ü'\n\n", 0o644)
    assert (secret.read_text(), secret.stat().st_mode & 0o7777) == (SECRET, 0o600)
    right = {"generation": "g1", f"file {plain}": digest("a: 'ü'\n\n"), f"file {secret}": digest(SECRET)}
    assert answer["live"] == odd_host.json("status", "--json")["live"] == right
    assert "eyes-only" not in str(answer)


def in_front(host: Host, folder: Path, script: str, *names: str) -> None:
    """Put a shell script in front of some programs, for this host's tools; `$name` is the program's."""
    folder.mkdir()
    for name in names:
        (folder / name).write_text(f"#!/bin/sh\nname={name}\n{script}")
        (folder / name).chmod(0o755)
    host.environment["PATH"] = f"{folder}:{os.environ['PATH']}"


def test_a_secret_is_closed_from_its_first_moment(host: Host, etc: Path, tmp_path: Path) -> None:
    """Whoever looks while it is written would read the key; so what writes it is killed at the first byte here."""
    path = etc / "secrets.env"
    text = placing("g1", Placed(path, SECRET, mode="600"))
    in_front(host, tmp_path / "first-byte", 'ulimit -f 0\nexec /usr/bin/$name "$@"\n', "install", "cp", "tee", "dd")
    assert host.run("activate", stdin=text).returncode != 0
    (begun,) = etc.iterdir()
    assert (begun.name, begun.stat().st_size, begun.stat().st_mode & 0o7777) == ("secrets.env.pollex-new", 0, 0o600)
    host.environment["PATH"] = os.environ["PATH"]
    host.json("activate", stdin=text)
    assert [file.name for file in etc.iterdir()] == ["secrets.env"]


FAULTS = {
    "other content": (Placed("PATH", hash=digest("other")), "content/content is not what its hash says"),
    "no hash": (Placed("PATH", hash=""), "content/content is not what its hash says"),
    "no content": (Placed("PATH", text=None, hash=digest("text\n")), "has no content/content, which PATH is to hold"),
    "neither content nor hash": (Placed("PATH", text=None, hash=""), "has no content/content"),
    "content in a folder": (Placed("PATH", folder=True), "has no content/content"),
    "relative path": (Placed("etc/app.yaml"), "at 'etc/app.yaml', which is not a plain absolute path"),
    "path that climbs": (Placed("PATH/../../x"), "not a plain absolute path"),
    "path that is a folder": (Placed("PATH/"), "not a plain absolute path"),
    "the root": (Placed("/"), "not a plain absolute path"),
    "mode with a set-user bit": (Placed("PATH", mode="4755"), "the mode '4755', not three octal digits"),
    "mode in words": (Placed("PATH", mode="u+s"), "the mode 'u+s', not three octal digits"),
    "name that climbs": (Placed("PATH", name="../env"), "'content/../env' is not a section name"),
    "name in a folder": (Placed("PATH", name="a/b"), "file 'a/b' is not a plain file name"),
    "hidden name": (Placed("PATH", name=".hidden"), "file '.hidden' is not a plain file name"),
    "name for a shell": (Placed("PATH", name="$(id)"), "'content/$(id)' is not a section name"),
    "name that is an option": (Placed("PATH", text=None, name="-rf --no"), "file '-rf --no' is not a plain file name"),
    "name missing": (Placed("PATH", text=None, name=""), "has no content/"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_faulty_sheet_changes_nothing(host: Host, etc: Path, fault: str) -> None:
    """A cut or forged sheet would be half in force, or write outside of its place."""
    good = Placed(etc / "first", name="first")
    host.json("activate", stdin=placing("g1", good))
    before = tree(etc), tree(host.root)
    bad, says = FAULTS[fault]
    bad = Placed(**{**bad.__dict__, "path": str(bad.path).replace("PATH", str(etc / "app"))})
    changed = Placed(etc / "first", "changed\n", name="first")
    done = host.run("activate", stdin=placing("g2", changed, bad))
    assert (done.returncode, done.stdout) == (2, "")
    assert says.replace("PATH", str(etc / "app")) in done.stderr
    assert "annot open" not in done.stderr
    assert (tree(etc), tree(host.root)) == before


def replaced(make: Callable[[Path], object]) -> Callable[[Path], None]:
    """Something else in the place of a file."""

    def damage(path: Path) -> None:
        path.unlink()
        make(path)

    return damage


DRIFT: Mapping[str, tuple[Callable[[Path], object], str]] = {
    "content": (lambda path: path.write_text("by hand\n"), digest("by hand\n")),
    "mode": (lambda path: path.chmod(0o644), f"{digest(SECRET)}, mode 644"),
    "owner": (lambda path: os.chown(path, 1, 0), f"{digest(SECRET)}, owner daemon"),
    "owner without a name": (lambda path: os.chown(path, 54321, 0), f"{digest(SECRET)}, owner UNKNOWN"),
    "gone": (lambda path: path.unlink(), "missing"),
    "gone with its folder": (lambda path: shutil.rmtree(path.parent), "missing"),
    "link": (replaced(lambda path: path.symlink_to("/etc/passwd")), "not a plain file"),
    "dangling link": (replaced(lambda path: path.symlink_to("nowhere")), "not a plain file"),
    "folder": (replaced(lambda path: path.mkdir()), "not a plain file"),
    "pipe": (replaced(os.mkfifo), "not a plain file"),
}


@pytest.mark.parametrize("drift", DRIFT)
def test_drift_is_named_and_mended(host: Host, etc: Path, drift: str) -> None:
    """A secret that others can read, or settings changed by hand, would be noticed by nobody."""
    path = etc / "app/secrets.env"
    text = placing("g1", Placed(path, SECRET, mode="600"), Placed(etc / "beside", name="beside"))
    right = host.json("activate", stdin=text)["live"]
    beside = (etc / "beside").stat()
    damage, value = DRIFT[drift]
    damage(path)
    assert host.json("status", "--json")["live"] == {**right, f"file {path}": value}
    answer = host.json("activate", stdin=text)
    assert (answer["changed"], answer["live"]) == ([f"file {path}"], right)
    assert (path.is_symlink(), path.read_text()) == (False, SECRET)
    assert (path.stat().st_mode & 0o7777, path.stat().st_uid) == (0o600, 0)
    assert (etc / "beside").stat().st_ino == beside.st_ino
    assert host.json("activate", stdin=text)["changed"] == []
    host.json("deactivate")
    assert tree(etc) == {}


def test_a_folder_with_something_in_it_is_not_ours(host: Host, etc: Path) -> None:
    """Somebody's data would be deleted to put a file in its place, or an activation end half done."""
    path, other = etc / "app", etc / "other"
    path.write_text("own\n")
    files = Placed(path), Placed(other, name="other")
    host.json("activate", stdin=placing("g1", *files))
    path.unlink()
    path.mkdir()
    (path / "data").write_text("precious")
    other.unlink()
    before = tree(etc)
    done = host.run("activate", stdin=placing("g1", *files))
    assert done.returncode == 1
    assert f"{path} is a folder now: move it away" in done.stderr
    assert tree(etc) == before
    done = host.run("deactivate")
    assert done.returncode == 0, done.stderr
    kept = Path(f"{host.root}/found/files{path}")
    assert f"left alone: {path} is a folder now; what was found there stays as {kept}" in done.stderr
    assert (path / "data").read_text() == "precious"
    assert kept.read_text() == "own\n"


def what_was_found(etc: Path) -> dict[str, tuple[object, ...]]:
    """Somebody's own things at the places of a, b, c and d."""
    (etc / "a").write_text("own\n")
    (etc / "a").chmod(0o640)
    os.chown(etc / "a", 1, 1)
    (etc / "b").symlink_to("a")
    (etc / "c").mkdir()
    (etc / "c/inside").write_text("kept")
    return tree(etc)


def four(etc: Path, text: str = "ours\n") -> list[Placed]:
    """Files at all of those places, and one in folders that are not there."""
    return [Placed(etc / name, text, name=name.rpartition("/")[2]) for name in ("a", "b", "c", "new/er/d")]


def test_what_was_found_comes_back(host: Host, etc: Path) -> None:
    """Somebody's own configuration would be lost by the first deployment, or by the last."""
    before = what_was_found(etc)
    host.json("activate", stdin=placing("g1", *four(etc)))
    host.json("activate", stdin=placing("g2", *four(etc, "ours, changed\n")))
    (etc / "a").write_text("ours, edited by hand\n")
    assert (etc / "new/er/d").read_text() == "ours, changed\n"
    done = host.run("deactivate")
    assert done.returncode == 0, done.stderr
    assert f"putting back what stood at {etc}/a" in done.stderr
    assert tree(etc) == before
    assert not (host.root / "found").exists()


def test_what_was_found_comes_back_although_its_folder_is_gone(host: Host, etc: Path) -> None:
    """Somebody's own configuration could not be had back, and `destroy` would fail for ever."""
    (etc / "app").mkdir()
    (etc / "app/own").write_text("own\n")
    before = tree(etc)
    host.json("activate", stdin=placing("g1", Placed(etc / "app/own")))
    shutil.rmtree(etc / "app")
    host.json("deactivate")
    assert tree(etc) == before


def test_a_file_that_is_dropped_gives_its_place_back(host: Host, etc: Path) -> None:
    """A setting that was taken out of the declaration would stay in force."""
    before = what_was_found(etc)
    host.json("activate", stdin=placing("g1", *four(etc)))
    answer = host.json("activate", stdin=placing("g2", Placed(etc / "b", "ours\n", name="b")))
    assert answer["changed"] == ["generation", *(f"file {etc}/{name}" for name in ("a", "c", "new/er/d"))]
    now = tree(etc)
    assert {name: now[name] for name in now if name[0] in "ac"} == {
        name: before[name] for name in before if name[0] in "ac"
    }
    assert not (etc / "new/er/d").exists()
    host.json("deactivate")
    assert tree(etc) == before


def test_a_rollback_brings_the_former_content(host: Host, etc: Path) -> None:
    """With a way back to the old program but not to its settings, it would not start."""
    path = etc / "app"
    host.json("activate", stdin=placing("g1", Placed(path, "first\n", mode="600")))
    host.json("activate", stdin=placing("g2", Placed(path, "second\n")))
    assert path.read_text() == "second\n"
    host.json("rollback")
    assert (path.read_text(), path.stat().st_mode & 0o777) == ("first\n", 0o600)
    (host.root / "generations/g2/content/content").write_text("rotten\n")
    done = host.run("rollback", "g2")
    assert done.returncode == 2
    assert "content/content is not what its hash says" in done.stderr
    assert path.read_text() == "first\n"
    host.json("activate", stdin=placing("g2", Placed(path, "second\n")))
    assert path.read_text() == "second\n"


def test_what_is_kept_of_secrets_is_closed(host: Host, etc: Path) -> None:
    """A secret would be closed where it is used and open where it is kept."""
    for number in (1, 2):
        host.json("activate", stdin=placing(f"g{number}", Placed(etc / "app", f"{number}{SECRET}", mode="600")))
    folders = list((host.root / "generations").glob("*/content"))
    assert len(folders) == 2
    assert {folder.stat().st_mode & 0o777 for folder in folders} == {0o700}
    # The rest is for everybody, so that `status` needs no root.
    assert (host.root / "generations/g1/files").stat().st_mode & 0o777 == 0o644


STEP = """\
printf . >>"$COUNT"
[ "$(wc -c <"$COUNT")" -eq "$STEP" ] || exec /bin/$name "$@"
[ "$WHEN" = before ] || /bin/$name "$@"
kill -9 0
"""
"""Kills the tools before or after their n-th step."""


def killed(host: Host, text: str) -> bool:
    """Whether the activation was killed; it has a process group of its own, with which it dies."""
    with subprocess.Popen(
        [*host.command, "activate"],
        env=host.environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as run:
        _, said = run.communicate(text, timeout=60)
    assert run.returncode in {0, -9}, said
    return run.returncode == -9


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("then", ["activate", "deactivate"])
def test_a_cut_at_any_step_is_mended(tmp_path: Path, when: str, then: str) -> None:
    """A power cut would lose what was found, or leave a secret or a half-made place behind."""
    step, steps = 0, 0
    while True:
        step += 1
        folder = tmp_path / str(step)
        etc = folder / "etc"
        etc.mkdir(parents=True)
        before = what_was_found(etc)
        host = Host(folder / "host")
        in_front(host, folder / "bin", STEP, "mv", "install", "mkdir", "rm")
        host.environment |= {"COUNT": str(folder / "count"), "STEP": str(step), "WHEN": when}
        text = placing("g1", *four(etc), Placed(etc / "secret", SECRET, mode="600", name="secret"))
        if not killed(host, text):
            break
        steps += 1
        host.environment["PATH"] = os.environ["PATH"]
        if then == "activate":
            answer = host.json("activate", stdin=text)
            assert answer["live"] == {
                "generation": "g1",
                **{f"file {etc}/{name}": digest("ours\n") for name in ("a", "b", "c", "new/er/d")},
                f"file {etc}/secret": digest(SECRET),
            }
            assert not list(etc.rglob("*.pollex-new")), f"step {step}"
        done = host.run("deactivate")
        assert done.returncode == 0, done.stderr
        assert tree(etc) == before, f"step {step}: {done.stderr}"
        assert not (host.root / "found").exists(), f"step {step}"
    assert steps > 30


def verdict(url: str) -> str:
    """What the gate says of a health URL without a completion."""
    script = '. "$here/lib.sh"; . "$here/gate.sh"; if healthy "$1" - 5; then printf healthy; else printf %s "$why"; fi'
    done = subprocess.run(
        ["dash", "-euc", f'here="$0"; LC_ALL=C; export LC_ALL; {script}', str(TOOLS), url],
        capture_output=True,
        check=True,
    )
    return done.stdout.decode()


@pytest.mark.parametrize(
    ("status", "body", "says"),
    [
        (200, "", "healthy"),
        (200, "not even JSON", "healthy"),
        (503, '{"error":{"message":"Loading model"}}', "loading the model"),
        (
            503,
            '{"status":"not ready",\r\n "reasons":["llama.cpp: \x1b[31mdown"]}',
            '503: {"status":"not ready",   "rea',
        ),
        (500, "", "500: "),
        (404, "ü" * 400, "404: " + "ü" * 150),
        (503, "x" + "ü" * 400, "503: x" + "ü" * 149),
        (503, "ends with\n200", "503: ends with 200"),
    ],
)
def test_the_gate_shows_what_an_unhealthy_unit_says(status: int, body: str, says: str) -> None:
    """A deployment would be taken back for a reason that the service gave and nobody was told."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        thread = threading.Thread(target=http.serve_forever, daemon=True)
        thread.start()
        url = f"http://127.0.0.1:{http.server_port}/readyz"
        said = verdict(url)
        http.shutdown()
        thread.join()
    shown = said.removeprefix(f"{url} answers ")
    assert shown.startswith(says)
    assert shown.isprintable()
    if not body.startswith("{"):
        assert shown == says


# On a board: a service that reads its files once, at its start.

SERVE = """\
import json, sys, time
from http.server import BaseHTTPRequestHandler, HTTPServer
given = json.load(open(sys.argv[1]))
began = time.monotonic()

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        ready = time.monotonic() - began >= given["ready_after"]
        self.send_response(200 if ready else 503)
        self.end_headers()
        self.wfile.write((given["says"] if ready else "not ready: warming up").encode())

    def log_message(self, *_):
        pass

HTTPServer(("127.0.0.1", 8090), Handler).serve_forever()
"""
APP, SIDE = "app.service", "side.service"
HEALTH = "http://127.0.0.1:8090/"
SETTINGS, PROGRAM, SECRETS = "/etc/app/settings.json", "/etc/app/serve.py", "/etc/app/secrets.env"
OUTSIDE = r"""
find /etc/systemd/system /etc/app /etc/side.conf -printf '%M %U %p %l\n' 2>/dev/null | sort
cat /etc/app/* /etc/side.conf 2>/dev/null
"""


def live(
    *,
    says: str = "hello",
    ready_after: float = 0,
    secret: str | None = SECRET,
    side: str = "beside\n",
    seconds: int = 60,
) -> Generation:
    """Two units with files of their own, as a plan declares them."""
    settings = f'{{"says": "{says}", "ready_after": {ready_after}}}\n'
    installed = "[Install]\nWantedBy=multi-user.target\n"
    serve = f"[Service]\nEnvironmentFile=-{SECRETS}\nExecStart=/usr/bin/python3 {PROGRAM} {SETTINGS}\n"
    files = [File(path=PROGRAM, text=SERVE), File(path=SETTINGS, text=settings)]
    if secret is not None:
        files.append(File(path=SECRETS, text=secret, secret=True))
    app = Unit(
        name=APP,
        text=serve + installed,
        links={},
        needs=(),
        health=HEALTH,
        completion=None,
        ready_seconds=seconds,
        files=tuple(files),
    )
    return generation.generation(
        [
            app,
            # Its gate says nothing of its own, but a gate needs a unit that runs.
            replace(
                app,
                name=SIDE,
                text=f"[Service]\nExecStart=/bin/sleep 100000\n{installed}",
                files=(File(path="/etc/side.conf", text=side),),
            ),
        ]
    )


def whole(made: Generation) -> str:
    """The sheet as it is sent, with the secrets that the engine never shows."""
    return made.sheet + "".join(sheet.section(name, text) for name, text in made.secrets.items())


@pytest.fixture(scope="module")
def machine() -> Iterator[Machine]:
    """One board for all tests here; each leaves it without a generation."""
    with Board.temporary("host-files") as board:
        yield Machine(board, "python3-minimal")


@pytest.fixture
def idle(machine: Machine) -> Iterator[Machine]:
    """The board with nothing live."""
    yield machine
    machine.pollex("deactivate")
    machine.sh("rm -rf /etc/app /etc/side.conf; systemctl reset-failed")


def answers(machine: Machine) -> str:
    """What the service says."""
    return machine.sh(f"curl -s {HEALTH}", check=False)


def test_the_declared_map_is_the_observed_one(idle: Machine) -> None:
    """Every refresh would show drift where there is none, or none where there is."""
    made = live()
    assert idle.json("activate", whole(made))["live"] == made.live
    assert idle.json("status --json")["live"] == made.live
    assert idle.json("activate", whole(made))["changed"] == []
    assert answers(idle) == "hello"


def test_nobody_but_root_reads_a_secret(idle: Machine) -> None:
    """Any process of the board could take the key from where it is used or kept."""
    idle.json("activate", whole(live()))
    search = "grep -rlsF eyes-only /opt/pollex /etc /run /tmp /var"
    where = idle.sh(search).splitlines()
    assert SECRETS in where
    assert len(where) == 2
    assert all(place == SECRETS or "/content/" in place for place in where)
    assert idle.sh(f"setpriv --reuid=nobody --regid=nogroup --clear-groups {search}", check=False) == ""
    said = idle.board.run("pollex-host status", check=False)
    assert f"file {SECRETS}: not readable\n" in said.stdout
    assert said.stderr == ""
    assert "eyes-only" not in idle.sh("journalctl --no-pager")


def test_only_the_owner_of_a_changed_file_restarts(idle: Machine) -> None:
    """A changed prompt would interrupt the model's server; or nothing would restart, and the old one stay in force."""
    idle.json("activate", whole(live()))
    app, side = idle.pid(APP), idle.pid(SIDE)
    answer = idle.json("activate", whole(live(says="changed")))
    assert answer["changed"] == ["generation", f"file {SETTINGS}"]
    assert (answers(idle), idle.pid(SIDE)) == ("changed", side)
    assert idle.pid(APP) not in {app, "0"}
    app = idle.pid(APP)
    idle.json("activate", whole(live(says="changed", side="changed\n")))
    assert idle.pid(APP) == app
    assert idle.pid(SIDE) not in {side, "0"}
    side = idle.pid(SIDE)
    idle.sh(f"chmod 644 {SECRETS}")
    assert idle.json("activate", whole(live(says="changed", side="changed\n")))["changed"] == [f"file {SECRETS}"]
    assert idle.pid(APP) not in {app, "0"}
    assert idle.pid(SIDE) == side


def test_the_owner_of_a_dropped_file_restarts(idle: Machine) -> None:
    """A key that was taken out of the declaration would stay in the process that had read it."""
    idle.json("activate", whole(live()))
    app, side = idle.pid(APP), idle.pid(SIDE)
    assert "KEY=" in idle.sh(f"tr '\\0' '\\n' </proc/{app}/environ")
    answer = idle.json("activate", whole(live(secret=None)))
    assert answer["changed"] == ["generation", f"file {SECRETS}"]
    assert "KEY=" not in idle.sh(f"tr '\\0' '\\n' </proc/{idle.pid(APP)}/environ")
    assert idle.pid(SIDE) == side


def test_an_unready_service_says_why_and_is_taken_back(idle: Machine) -> None:
    """A bad setting would end a service that worked, and its own reason be lost."""
    good = live()
    idle.json("activate", whole(good))
    done = idle.pollex("activate", whole(live(says="bad", ready_after=1000, side="bad\n", seconds=4)))
    assert (done.returncode, done.stdout) == (7, "")
    assert f"{APP} is not healthy after 4 s: {HEALTH} answers 503: not ready: warming up" in done.stderr
    assert "eyes-only" not in done.stderr
    assert answers(idle) == "hello"
    assert idle.sh("cat /etc/side.conf") == "beside"
    assert idle.json("activate", whole(good))["changed"] == []


def test_a_service_may_take_its_time(idle: Machine) -> None:
    """A service that warms its model up would be taken back although it is on its way."""
    done = idle.pollex("activate", whole(live(ready_after=3)))
    assert done.returncode == 0, done.stderr
    assert answers(idle) == "hello"


def test_deactivate_leaves_the_board_as_it_was(idle: Machine) -> None:
    """`destroy` would leave a secret behind, or take somebody's own settings."""
    idle.sh(f"mkdir /etc/app; echo own >{SETTINGS}; chmod 640 {SETTINGS}; ln -s app/settings.json /etc/side.conf")
    before = idle.sh(OUTSIDE)
    idle.json("activate", whole(live()))
    idle.json("activate", whole(live(says="changed")))
    idle.json("deactivate")
    assert idle.sh(OUTSIDE) == before


@pytest.mark.parametrize("seconds", [0.3, 0.6, 2])
def test_a_killed_activation_restarts_what_runs_the_old_file(idle: Machine, seconds: float) -> None:
    """After a power cut the service would go on with its former settings, which nothing shows."""
    idle.json("activate", whole(live()))
    made = live(says="new", ready_after=2)
    idle.sh(
        f"cat >/tmp/sheet; timeout -s KILL {seconds} pollex-host activate </tmp/sheet",
        whole(made).encode(),
        check=False,
    )
    idle.sh("rm /tmp/sheet")
    assert idle.json("activate", whole(made))["live"] == made.live
    assert answers(idle) == "new"
    assert idle.json("activate", whole(made))["changed"] == []
