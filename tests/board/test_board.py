"""`make board`: from a host to a stack file, against a real sshd."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import yaml

from infra import ROOT
from infra.board import __main__ as wizard
from infra.board import answers, facts, record, remote, stack
from infra.core.report import ConfigError
from tests.provider.conftest import Machine, keygen
from tests.provider.conftest import machine as machine  # noqa: PLC0414 - a fixture is exported by its name
from tests.waiting import wait_for

NANO = {
    "user": "manu",
    "architecture": "aarch64",
    "machine": "NVIDIA Jetson Nano Developer Kit",
    "jetpack": "# R32 (release), REVISION: 6.1",
    "memoryMb": "3956",
    "freeMb": "20000",
    "cmake": "3.10.2",
    "nvcc": "yes",
    "systemd": "yes",
    "root": "yes",
    "clock": "1000000",
    "end": "yes",
}
"""What a Nano that can take the stack says."""
WANTED = {"architecture": "aarch64", "minMemoryMb": 3500, "minDiskMb": 6000}


def test_a_nano_has_nothing_in_the_way() -> None:
    """If this fails, a good board is refused."""
    assert facts.in_the_way(NANO, WANTED) == []


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("architecture", "x86_64", "the stack is for aarch64, and this is x86_64"),
        ("memoryMb", "1900", "pollex:host.minMemoryMb"),
        ("freeMb", "100", "pollex:host.minDiskMb"),
        ("systemd", None, "systemd"),
        ("readonly", "yes", "the card may be bad"),
        ("nvcc", None, "cuda-toolkit-10-2"),
    ],
)
def test_what_only_a_person_can_mend_is_said(name: str, value: str | None, said: str) -> None:
    """If this fails, a board is changed that cannot take the stack."""
    changed = {fact: text for fact, text in {**NANO, name: value}.items() if text is not None}
    (problem,) = facts.in_the_way(changed, WANTED)
    assert said in problem


def test_cmake_comes_where_it_is_too_old() -> None:
    """If this fails, JetPack's CMake 3.10 ends the build, or a newer one is replaced."""
    assert facts.needs_cmake(NANO)
    assert facts.needs_cmake({name: text for name, text in NANO.items() if name != "cmake"})
    assert not facts.needs_cmake({**NANO, "cmake": "3.27.9"})
    assert not facts.needs_cmake({name: text for name, text in NANO.items() if name != "jetpack"})


def test_a_clock_that_is_years_off_is_seen() -> None:
    """If this fails, every certificate is refused on a board without a battery."""
    assert facts.clock_error(NANO, 1000000 + 3 * 365 * 86400) == -3 * 365 * 86400
    assert facts.clock_error(NANO, 1000010) == 0


def test_a_stack_file_keeps_its_comments() -> None:
    """If this fails, what explains each value is gone after the first run."""
    text = (ROOT / "stacks/Pulumi.jetson.yaml").read_text()
    settings = {("host", "address"): "fe80::1%eth0", ("host", "user"): "me", ("server", "user"): "me"}
    new = stack.changed(text, settings)
    assert "    user: me # your login on the board, with sudo\n" in new
    before, after = (yaml.safe_load(one)["config"] for one in (text, new))
    assert after["pollex:host"] == before["pollex:host"] | {"address": "fe80::1%eth0", "user": "me"}
    assert after["pollex:server"] == before["pollex:server"] | {"user": "me"}
    assert stack.changed(new, settings) == new
    added = {("host", "takeover"): "a b", ("host", "proxyJump"): {"address": "j", "hostKey": "ssh-ed25519 AAAA"}}
    assert '  pollex:host:\n    takeover: "a b"\n    proxyJump: {"address"' in stack.changed(new, added)
    assert stack.changed(stack.changed(new, added), dict.fromkeys(added)) == new


def test_the_record_gives_former_values_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If this fails, undoing a second run leaves the first one's values, or overwrites what a person set since."""
    monkeypatch.setenv("HOME", str(tmp_path))
    address, user, port = ("host", "address"), ("host", "user"), ("host", "port")
    settings = {address: "new", user: "me", port: 22}
    once = record.Record({}, {}).then(settings, {address: "old", user: "manu", port: None})
    once.keep("one")
    again = record.Record.read("one").then({**settings, user: "you"}, settings)
    assert again.former == {address: "old", user: "manu", port: None}
    now = {address: "by hand", user: "you", port: 22}
    assert stack.taken_back(again.written, again.former, now) == {user: "manu", port: None}


@pytest.mark.parametrize(
    ("text", "said"), [("sudoPasword: x", "sudoPassword"), ("a", "no answers"), ("- : [", "line 1")]
)
def test_answers_that_are_wrong_are_said(tmp_path: Path, text: str, said: str) -> None:
    """If this fails, a misspelt answer is asked for, in a script that cannot answer."""
    (tmp_path / "answers").write_text(text)
    with pytest.raises(ConfigError, match=said):
        answers.read(tmp_path / "answers")


def test_passwords_that_others_may_read_are_refused(tmp_path: Path) -> None:
    """If this fails, a sudo password lies open on the operator's machine, unnoticed."""
    file = tmp_path / "answers"
    file.write_text("loginPassword: open sesame\n")
    file.chmod(0o644)
    with pytest.raises(ConfigError, match="chmod 600") as error:
        answers.read(file)
    assert "sesame" not in str(error.value)
    file.chmod(0o600)
    known = answers.read(file)
    assert known.login == known.sudo == "open sesame"
    assert "sesame" not in repr(known)


def test_what_a_nano_is_reads_well() -> None:
    """If this fails, nobody sees before the first change that this is the wrong board, or a slow one."""
    slow = {**NANO, "power": "5W", "target": "graphical.target", "gateways": "eth0 wlan0 "}
    assert facts.described(slow)[1:] == [
        "3956 MB of memory, 20000 MB free below /opt",
        "L4T R32 (release), REVISION: 6.1; power mode 5W",
        "CMake 3.10.2: brought below /opt/pollex",
    ]
    assert [line.split(":")[0] for line in facts.remarks(slow)] == [
        "power mode 5W slows everything",
        "its desktop takes about 1 GB of the memory",
        "it has default routes through eth0 and wlan0",
    ]
    assert facts.remarks(NANO) == []
    assert [facts.duration(seconds) for seconds in (-800_000_000, 301)] == ["25 years behind", "5 minutes ahead"]


def test_the_sudoers_file_is_written_and_taken_away(tmp_path: Path) -> None:
    """If this fails, a board asks for a password for ever, or keeps a door open that nobody closes."""
    environment = {**os.environ, "POLLEX_SUDOERS": str(tmp_path), "POLLEX_ROOT": str(tmp_path / "opt")}

    def run(*arguments: str) -> None:
        subprocess.run(["sh", remote.SCRIPT, *arguments], env=environment, check=True)

    file = tmp_path / "pollex"
    for _ in range(2):
        run("prepare", "manu", "")
        assert file.read_text().endswith("manu ALL=(root) NOPASSWD: ALL\n")
        assert file.stat().st_mode & 0o777 == 0o440
    run("undo")
    assert not file.exists()
    file.write_text("somebody else's\n")
    run("undo")
    assert file.exists()


HOSTS = {
    "readonly=yes": "mount -o remount,bind,ro /",
    "gateways=one two ": """
        ip link add one type veth peer name two; ip link set one up; ip link set two up
        ip route add default dev one metric 1; ip route add default dev two metric 2""",
    "target=graphical.target": "systemctl() { echo graphical.target; }",
    "clock=0": "date() { echo 0; }",
}
"""What `look` must find, to what makes a host so, in namespaces of its own."""


@pytest.mark.parametrize("fact", HOSTS)
def test_a_host_that_is_unlike_others_is_seen(fact: str) -> None:
    """If this fails, a bad card, a second network or a desktop is found out by an `up` that fails."""
    script = f"{HOSTS[fact]}\nset -- look\n{remote.SCRIPT.read_text()}"
    done = subprocess.run(
        ["unshare", "--mount", "--net", "sh"], input=script, capture_output=True, text=True, check=True
    )
    assert f"pollex {fact}" in done.stdout.splitlines()


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout with one stack file, and a home."""
    (tmp_path / "stacks").mkdir()
    shutil.copy(ROOT / "stacks/Pulumi.sandbox.yaml", tmp_path / "stacks")
    monkeypatch.setattr(wizard, "ROOT", tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return tmp_path


def test_from_a_host_to_a_stack_file(machine: Machine, project: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """If this fails, what the wizard writes does not log in, or an impostor is pinned."""
    host, key = f"ssh://root@127.0.0.1:{machine.port}", str(machine.folder / "login")
    common = [host, "--stack", "sandbox", "--key", key, "--yes", "--no-preview"]
    file = project / "stacks/Pulumi.sandbox.yaml"
    before = file.read_text()
    assert wizard.main(common) == 1
    assert wizard.main([*common, "--fingerprint", "SHA256:another"]) == 1
    said = capfd.readouterr()
    assert "expected SHA256:another: this is another machine" in said.err
    assert "ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub" in said.err
    assert file.read_text() == before

    shown = subprocess.run(
        ["ssh-keygen", "-lf", machine.folder / "host.pub"], check=True, capture_output=True, text=True
    ).stdout.split()[1]
    assert shown in said.out
    assert f"--fingerprint {shown}" in said.err
    assert wizard.main([*common, "--fingerprint", shown]) == 1
    assert "64 MB free below /opt, and 1500 are needed" in capfd.readouterr().err
    assert file.read_text() == before
    less = before.replace("minDiskMb: 1500", "minDiskMb: 10")
    file.write_text(less)
    assert wizard.main([*common, "--fingerprint", shown]) == 0, capfd.readouterr().err
    assert wizard.main(common) == 0
    assert "the same as the last time" in capfd.readouterr().out
    declared = yaml.safe_load(file.read_text())["config"]["pollex:host"]
    assert (declared["address"], declared["port"], declared["user"]) == ("127.0.0.1", machine.port, "root")
    assert declared["privateKeyFile"] == key
    pinned = Path(declared["hostKeyFile"].replace("~", str(project / "home")))
    assert pinned.read_text().split() == machine.host_key.split()[:2]
    assert (project / "home/.config/pollex/passphrase").stat().st_mode & 0o777 == 0o600
    assert wizard.main([*common, "--undo"]) == 0
    assert file.read_text() == less
    assert not pinned.exists()


def show(machine: Machine, file: Path) -> None:
    """Have the host show the key of this file, as one that was flashed anew."""
    shutil.copyfile(file, machine.folder / "host")
    machine.sshd.send_signal(signal.SIGHUP)
    line = file.with_name(f"{file.name}.pub").read_text().strip()
    asked = ["ssh-keyscan", "-t", "ed25519", "-p", str(machine.port), "127.0.0.1"]
    shown = partial(subprocess.run, asked, capture_output=True, text=True, check=False)
    wait_for(lambda: line in shown().stdout, machine.sshd)


@pytest.fixture
def flashed(machine: Machine, tmp_path: Path) -> Iterator[Path]:
    """Another key for the host; it has its own again when the test ends."""
    keygen(tmp_path / "new")
    former = tmp_path / "former"
    for name in ("", ".pub"):
        shutil.copyfile(machine.folder / f"host{name}", tmp_path / f"former{name}")
    yield tmp_path / "new"
    show(machine, former)


def test_a_board_flashed_anew_is_prepared_again(
    machine: Machine, project: Path, flashed: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """If this fails, a board that was flashed anew is taken for an impostor for ever, or an impostor for it."""
    file = project / "stacks/Pulumi.sandbox.yaml"
    before = file.read_text().replace("minDiskMb: 1500", "minDiskMb: 10")
    file.write_text(before)
    host, key = f"ssh://root@127.0.0.1:{machine.port}", str(machine.folder / "login")
    common = [host, "--stack", "sandbox", "--key", key, "--no-preview"]
    monkeypatch.setattr("builtins.input", lambda _: "y")
    assert wizard.main(common) == 0, capfd.readouterr().err
    first, written = record.key_file("sandbox").read_text(), file.read_text()
    capfd.readouterr()

    show(machine, flashed)
    assert wizard.main([*common, "--yes"]) == 1
    said = capfd.readouterr()
    assert f"the last time, for this stack, it was another one: {remote.fingerprint(first)}" in said.out
    assert "nobody said that this key is the host's" in said.err
    assert wizard.main([*common, "--yes", "--fingerprint", remote.fingerprint(first)]) == 1
    shown = remote.fingerprint(flashed.with_name("new.pub").read_text())
    assert f"if it is the same, give {shown} as the fingerprint" in capfd.readouterr().err
    assert record.key_file("sandbox").read_text() == first

    assert wizard.main(common) == 0, capfd.readouterr().err
    second = record.key_file("sandbox").read_text()
    assert remote.fingerprint(second) == shown
    assert file.read_text() == written
    assert wizard.main([*common, "--undo"]) == 0
    assert file.read_text() == before


def test_a_connection_that_is_kept_open_is_not_asked_for_the_key(
    machine: Machine, project: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """If this fails, whoever shares one connection to a board cannot prepare it, or trusts what stood there before."""
    ssh, config, own = shutil.which("ssh"), project / "config", project / "bin/ssh"
    own.parent.mkdir()
    own.write_text(f'#!/bin/sh\nexec {ssh} -F {config} "$@"\n')
    own.chmod(0o755)
    monkeypatch.setenv("PATH", f"{own.parent}:{os.environ['PATH']}")
    host, key = f"ssh://root@127.0.0.1:{machine.port}", str(machine.folder / "login")
    trusting = ["-o", "StrictHostKeyChecking=no", "-o", f"UserKnownHostsFile={project}/known"]
    with TemporaryDirectory() as short:  # a socket's path has 108 characters at most
        config.write_text(f"Host *\n ControlMaster auto\n ControlPath {short}/%C\n ControlPersist yes\n")
        subprocess.run(["ssh", "-i", key, *trusting, host, "true"], check=True, stderr=subprocess.DEVNULL)
        try:
            assert wizard.main([host, "--stack", "sandbox", "--key", key, "--yes", "--no-preview"]) == 1
            assert f"--fingerprint {remote.fingerprint(machine.host_key)}" in capfd.readouterr().err
        finally:
            subprocess.run(["ssh", "-O", "exit", host], check=True, stderr=subprocess.DEVNULL)
