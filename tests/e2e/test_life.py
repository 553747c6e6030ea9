"""The life of one board, in order: built under every interruption, changed, damaged, mended, taken down.

The tests share the board and depend on the ones before: a build costs minutes.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import httpx
import pytest
import yaml

from infra.kinds.host import units
from sandbox import mirror
from sandbox.__main__ import keep_build, polish
from sandbox.deployment import Deployment, deploy
from sandbox.engine import Result
from sandbox.mirror import Mirror
from sandbox.serving import NEVER
from tests.waiting import read_until

pytestmark = pytest.mark.timeout(1800)

BUILD = "pollex-build@"
SERVER = "llama-server"


@pytest.fixture(scope="module")
def life(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """The board and its stack."""
    with deploy("e2e-life", tmp_path_factory.mktemp("life")) as deployed:
        yield deployed


@pytest.fixture(scope="module")
def found(life: Deployment) -> str:
    """What stood on the board before anything was declared."""
    return life.snapshot()


def percent(line: str) -> int:
    """The percentage in a progress line."""
    match = re.search(r"(\d+)%", line)
    assert match, line
    return int(match[1])


def building(life: Deployment) -> bool:
    """Whether the board is compiling, whoever watches."""
    return life.board.run(f"systemctl is-active '{BUILD}*'", check=False).stdout.strip() in {"active", "activating"}


def finished(process: subprocess.Popen[str]) -> str:
    """The rest of a run's output once it has ended."""
    return process.communicate()[0]


class TestTheBuildSurvives:
    """Each interruption comes in the middle of the compile; nothing is ever started over.

    From the first one on ninja is stopped, until the board reboots: with many cores, or fast ones, it would be done
    before the last interruption.
    """

    compiling = r"llama-server.*compiling (?!0%)\d+%"
    reached = 0
    ninja = ""

    def follow(self, life: Deployment) -> subprocess.Popen[str]:
        """Start `up` and wait until it shows the build going on from where it was, or later."""
        process = life.pulumi.popen_up()
        now = percent(read_until(self.compiling, process.stdout)[-1])
        assert now >= type(self).reached
        type(self).reached = now
        ninja = life.board.run("pkill -STOP -x ninja; pgrep -x ninja", user="root").stdout
        assert ninja == (type(self).ninja or ninja)
        type(self).ninja = ninja
        return process

    @pytest.mark.fault("up", "a build runs", "SSH is cut", "the build goes on, and the next up follows it")
    def test_its_ssh_session_is_cut(self, life: Deployment, found: str) -> None:
        """If this fails, a laptop that loses its network loses the build."""
        process = self.follow(life)
        life.board.run("pkill -KILL -u manu sshd || pkill -KILL -f 'sshd: manu'", user="root", check=False)
        output = finished(process)
        assert process.returncode != 0, output
        assert building(life)

    @pytest.mark.fault(
        "up", "a build runs", "up is killed by SIGKILL", "the build goes on; make unlock mends the state"
    )
    def test_up_is_killed(self, life: Deployment) -> None:
        """If this fails, a killed `up` loses the build, or leaves a state that nothing unlocks."""
        process = self.follow(life)
        os.killpg(process.pid, signal.SIGKILL)
        finished(process)
        assert building(life)
        assert "locked" in life.pulumi.up(check=False).stderr
        assert "goes on from what the host has" in life.unlock()

    @pytest.mark.fault("up", "a build runs", "the reader of up goes away", "the build goes on")
    def test_the_reader_of_up_goes_away(self, life: Deployment) -> None:
        """If this fails, `pulumi up | head` loses the build."""
        process = self.follow(life)
        assert process.stdout is not None
        process.stdout.close()
        process.wait()
        assert building(life)
        life.unlock()

    @pytest.mark.fault("up", "a build runs", "^C, twice", "the build goes on")
    def test_up_is_interrupted_twice(self, life: Deployment) -> None:
        """If this fails, ^C ^C loses the build, or hangs."""
        process = self.follow(life)
        process.send_signal(signal.SIGINT)
        assert process.stdout is not None
        # the second one comes as soon as the first was heard; where nothing is said, the run has ended by then
        if any("^C" in line for line in process.stdout):
            process.send_signal(signal.SIGINT)
        finished(process)
        assert process.returncode != 0
        assert building(life)
        life.unlock()

    @pytest.mark.fault("up", "a build runs", "the board reboots", "the next up ends it and sees it live")
    def test_the_board_reboots(self, life: Deployment) -> None:
        """If this fails, a reboot starts the build over; this one ends the build and sees it live."""
        process = self.follow(life)
        life.board.reboot()
        output = finished(process)
        assert process.returncode != 0, output
        done = life.pulumi.up()
        assert set(done.steps.values()) <= {"create", "same", "update", "replace"}
        log = life.board.run(f"cat /opt/pollex/log/{life.pulumi.outputs()['key']}.log").stdout
        assert "attached" in done.stdout + log or "resum" in log
        assert life.show("ActiveState", "DynamicUser") == ["active", "yes"]
        assert life.polish("Say hello.")


def test_a_second_up_changes_nothing(life: Deployment) -> None:
    """If this fails, every `up` touches a board that is as declared."""
    before = life.show("MainPID", "ActiveEnterTimestampMonotonic")
    assert life.pulumi.up().changes == {}
    assert life.pulumi.up("--refresh").changes == {}
    assert life.show("MainPID", "ActiveEnterTimestampMonotonic") == before


def test_outputs(life: Deployment) -> None:
    """If this fails, an application cannot take its configuration from the stack, or gets a secret with it."""
    outputs = life.pulumi.outputs()
    settings = yaml.safe_load(yaml.safe_dump(outputs["appConfig"]["pollex"]))
    assert settings == {"port": 8090, "llamacpp_url": "http://localhost:8080", "llamacpp_model": "smollm2:135m"}
    listed = json.loads(life.board.run(f"curl -sS --fail {settings['llamacpp_url']}/v1/models").stdout)
    assert [model["id"] for model in listed["data"]] == [settings["llamacpp_model"]]
    assert outputs["generation"] == life.status()["generation"]
    assert "PRIVATE KEY" not in json.dumps(outputs)


def test_the_binary_says_what_it_is(life: Deployment) -> None:
    """If this fails, nobody can tell from the board which source it runs."""
    said = life.board.run(f"{units.LLAMA_SERVER} --version 2>&1").stdout
    assert re.search(r"4980 \(2099a9d5", said)


def test_the_build_is_kept_for_other_boards(life: Deployment) -> None:
    """If this fails, a second board compiles what the first one has."""
    item = f"{life.pulumi.outputs()['key']}-{SERVER}"
    keep_build(life.board, item)
    archive = mirror.directory() / "store" / f"{item}.tar.gz"
    kept = sha256(archive.read_bytes()).hexdigest()
    assert json.loads(archive.with_name(f"{item}.json").read_text())["sha256"] == kept
    assert life.board.run(f"pollex-host pack {item} | sha256sum", user="root").stdout.split()[0] == kept


SERVICE = "pollex.service"
SENTENCE = "She go to the libary yesterday."


def asked(url: str, key: str | None = None) -> httpx.Response:
    """What the service answers, however busy the machine is."""
    headers = {} if key is None else {"X-API-Key": key}
    return httpx.get(url, headers=headers, timeout=NEVER, trust_env=False)


def test_a_sentence_is_polished_through_the_service(life: Deployment) -> None:
    """If this fails, `up` ends without the one thing that it is for."""
    page = life.pulumi.outputs()["page"]
    assert page == f"http://{life.board.address}:8090"
    assert "library" in polish(page, "smollm2:135m", SENTENCE)
    assert "<!doctype html>" in asked(page).text.lower()
    assert life.show("ActiveState", "DynamicUser", unit=SERVICE) == ["active", "yes"]


def test_the_service_is_shut_in(life: Deployment) -> None:
    """If this fails, whoever takes over the service takes over the board."""
    (pid,) = life.show("MainPID", unit=SERVICE)
    status = life.board.run(f"cat /proc/{pid}/status", user="root").stdout
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert fields["Uid"].split()[0] != "0"
    assert (fields["NoNewPrivs"], fields["Seccomp"], int(fields["CapBnd"], 16)) == ("1", "2", 0)
    inside = f"nsenter --target {pid} --mount"
    for place in ("/etc/pollex/x", "/opt/pollex/x", "/usr/local/bin/x"):
        assert "Read-only" in life.board.run(f"{inside} touch {place}", user="root", check=False).stderr
    assert life.board.run(f"{inside} ls /home", user="root", check=False).stdout == ""
    assert life.board.run('test -z "$(find /opt/pollex/store -name __pycache__)"', user="root").returncode == 0


def pids(life: Deployment) -> tuple[str, str]:
    """Main processes of llama-server and of the service."""
    return life.show("MainPID")[0], life.show("MainPID", unit=SERVICE)[0]


def test_a_changed_prompt_restarts_the_service_alone(life: Deployment) -> None:
    """If this fails, a better prompt costs a reload of the model, or is never used."""
    own = life.project / "mine.txt"
    own.write_text("Correct the sentence.\n---\nCorrect this sentence: {text}\n")
    life.values["pollex:polish"]["prompt"] = own.name
    life.write()
    before = pids(life)
    assert life.pulumi.up().changes == {"update": 1}
    after = pids(life)
    assert (before[0] == after[0], before[1] == after[1]) == (True, False)
    own.write_text("Correct this sentence.\n---\nSentence: {text}\n")
    assert life.pulumi.up().changes == {"update": 1}
    assert (pids(life)[0] == after[0], pids(life)[1] == after[1]) == (True, False)
    assert life.board.run("cat /etc/pollex/prompt.txt").stdout == own.read_text()
    assert life.pulumi.up().changes == {}


KEY = 'it\'s a "key" $HOME `id` \\ 100% #'
"""What a shell, systemd's file of variables and YAML would each read differently."""


def test_a_secret_reaches_the_service_and_nobody_else(life: Deployment) -> None:
    """If this fails, the page's key lies open on the board, in the state or in an output, or is another one."""
    config = ["--config-file", str(life.config_file)]
    life.pulumi.run("config", "set", "--secret", "--path", "pollex:polish.apiKey", *config, text=KEY)
    before = pids(life)
    done = life.pulumi.up()
    assert done.changes == {"update": 1}
    assert pids(life)[0] == before[0]
    models = f"{life.pulumi.outputs()['page']}/api/models"
    assert asked(models).status_code == 401
    assert asked(models, KEY).status_code == 200
    assert life.board.run("stat -c '%a %U' /etc/pollex/secrets.env").stdout.split() == ["600", "root"]
    part = "it's a"
    kept = f'grep -rlF "{part}" /opt/pollex/generations /etc/pollex'
    assert life.board.run(kept, check=False).stdout == ""
    assert "/content/" in life.board.run(kept, user="root", check=False).stdout, "nothing was searched"
    everywhere = (
        "cat /etc/systemd/system/pollex.service; cat /proc/[0-9]*/cmdline | tr '\\0' ' '; systemctl show pollex.service"
    )
    shown = life.board.run(everywhere, check=False).stdout
    assert "llama-server -m " in shown, "nothing was searched"
    assert part not in shown
    assert part not in json.dumps(life.pulumi.resources()) + json.dumps(life.pulumi.outputs()) + done.stdout
    life.write()
    life.pulumi.up()
    assert asked(models).status_code == 200
    assert life.board.run("test -e /etc/pollex/secrets.env", check=False).returncode != 0


@pytest.mark.fault("up", "a generation serves", "a service that cannot start", "taken back")
def test_a_service_that_cannot_start_is_taken_back(life: Deployment) -> None:
    """If this fails, a service that does not start replaces one that does."""
    before = life.status()["generation"]
    life.write(polish__settings={"trusted_proxies": []}, polish__memoryMb=64, polish__tasks=16)
    launcher = life.project / "service/pollex.sh"
    text = launcher.read_text()
    try:
        launcher.write_text(text.replace("exec ", "exec false "))
        refused(life.pulumi.up(check=False), "pollex does not run on this host")
    finally:
        launcher.write_text(text)
    sources = life.project / "service/pollex/serve.py"
    text = sources.read_text()
    try:
        sources.write_text(text + "\nraise RuntimeError('broken on purpose')\n")
        refused(life.pulumi.up(check=False), "pollex.service", "broken on purpose", "returned to")
    finally:
        sources.write_text(text)
    life.write()
    assert life.status()["generation"] == before
    # the bundle is the former one again, which the host still has; nothing restarts
    running = pids(life)
    assert life.pulumi.up("--refresh").changes == {"update": 1}
    assert pids(life) == running
    assert life.pulumi.up().changes == {}


def test_the_stack_tells_a_client_where_it_is(life: Deployment) -> None:
    """If this fails, `pollex config show` does not give what an application reads."""
    page = life.pulumi.outputs()["page"]
    polished = subprocess.run(
        [Path(sys.executable).with_name("pollex"), "polish"],
        input=SENTENCE, env={**os.environ, "POLLEX_URL": page}, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert "library" in polished


def test_a_server_flag_restarts_the_unit_alone(life: Deployment) -> None:
    """If this fails, another context size costs a rebuild, or is never applied."""
    (before,) = life.show("MainPID")
    life.values["pollex:server"]["context"] = 1024
    life.write()
    assert dict(life.pulumi.up().steps) == {
        "llama": "same",
        "llama-host": "same",
        "llama-tools": "same",
        "llama-server": "same",
        "llama-model": "same",
        "llama-polish": "same",
        "llama-generation": "update",
    }
    (after,) = life.show("MainPID")
    assert before != after
    assert "-c 1024" in life.board.run(f"tr '\\0' ' ' < /proc/{after}/cmdline", user="root").stdout


DAMAGE = {
    "llama-server": {
        "unit llama-server.service": "echo '# edited' >> /etc/systemd/system/llama-server.service",
        "link /usr/local/bin/llama-server": "ln -sfn /bin/true /usr/local/bin/llama-server",
        "-llama-server": "f=$(readlink -f /opt/pollex/store/*-llama-server/bin/llama-server);"
        " cp $f $f.x; printf x >> $f.x; mv $f.x $f",
    },
    "pollex": {
        "unit pollex.service": "echo '# edited' >> /etc/systemd/system/pollex.service",
        "file /etc/pollex/pollex.yaml": "sed -i s/8090/8091/ /etc/pollex/pollex.yaml",
        "-polish": "rm /opt/pollex/store/*-polish/lib/pollex/polish.py",
    },
    "what runs": {
        "service llama-server.service": "systemctl stop llama-server.service",
        "service pollex.service": "systemctl stop pollex.service",
    },
}
"""What somebody does to a board between two runs, by what it is done to, each under its name in `status`."""


@pytest.mark.parametrize("items", DAMAGE)
def test_drift_is_named_and_mended(life: Deployment, items: str) -> None:
    """If this fails, `refresh` misses what somebody changed on the board, or `up --refresh` does not mend just that."""
    live = life.status()["live"]
    names = sorted(key for item in DAMAGE[items] for key in live if key == item or key.endswith(item))
    assert len(names) == len(DAMAGE[items])
    for command in DAMAGE[items].values():
        life.board.run(command, user="root")
    shown = life.pulumi.preview("--refresh", "--diff")
    assert all(name in shown.stdout for name in names)
    assert shown.changes == {"update": 1}
    refreshed = life.pulumi.refresh("--diff").stdout
    assert all(name in refreshed for name in names)
    assert life.pulumi.up("--refresh").changes == {"update": 1}
    (generation,) = [one for one in life.pulumi.resources() if one["type"].endswith(":Generation")]
    assert sorted(generation["outputs"]["changed"]) == names
    assert life.pulumi.up("--refresh").changes == {}
    assert life.polish("Say hello.")


def test_a_foreign_generation_is_seen(life: Deployment) -> None:
    """If this fails, a rollback done by hand is overlooked by `refresh`, or fought without a word."""
    declared = life.status()["generation"]
    life.board.run("sudo pollex-host rollback")
    assert life.status()["generation"] != declared
    assert "generation" in life.pulumi.preview("--refresh", "--diff").stdout
    life.pulumi.up("--refresh")
    assert life.status()["generation"] == declared


def refused(result: Result, *words: str) -> None:
    """The run failed, and says what the words say."""
    said = result.stdout + result.stderr
    assert result.status != 0
    for word in words:
        assert word in said


@pytest.mark.fault("up", "a generation serves", "a flag that the server does not know", "taken back")
def test_an_unhealthy_generation_is_taken_back(life: Deployment) -> None:
    """If this fails, a wrong server flag takes the polisher down instead of being refused."""
    before = life.status()["generation"]
    life.write(server__extraArgs=["--no-such-flag"])
    refused(life.pulumi.up(check=False), "no-such-flag", "llama-server.service")
    life.write()
    assert life.status()["generation"] == before
    assert life.polish("Say hello.")
    assert life.pulumi.up("--refresh").changes == {}


@pytest.mark.fault("up", "a generation serves", "the source has another tree", "refused; the former one serves")
def test_a_wrong_tree_is_refused(life: Deployment) -> None:
    """If this fails, bytes that nobody pinned are compiled and run."""
    wrong = "0" * 40
    life.write(source__tree=wrong)
    refused(life.pulumi.up(check=False), wrong, life.values["pollex:source"]["tree"])
    life.write()
    assert life.polish("Say hello.")


@pytest.mark.fault("up", "a generation serves", "the model is cut or corrupted", "refused; the former one serves")
@pytest.mark.parametrize("damage", ["truncated", "corrupted"])
def test_a_bad_model_is_refused(life: Deployment, damage: str) -> None:
    """If this fails, half a download takes the polisher down."""
    (good,) = [file for file in life.served.iterdir() if file.suffix == ".gguf"]
    content = good.read_bytes()
    bad = life.served / f"{damage}.gguf"
    bad.write_bytes(content[:-4096] if damage == "truncated" else content[:-1] + bytes([content[-1] ^ 1]))
    url = life.values["pollex:model"]["url"].replace(good.name, bad.name)
    # another path is another derivation, so that the file is fetched at all
    life.write(model__url=url, model__path=f"/opt/llama-models/{damage}.gguf")
    expected = str(len(content)) if damage == "truncated" else life.values["pollex:model"]["sha256"]
    refused(life.pulumi.up(check=False), bad.name, expected)
    bad.unlink()
    life.write()
    assert life.polish("Say hello.")
    assert life.pulumi.up("--refresh").changes == {}


def test_a_changed_patch_or_flag_rebuilds(life: Deployment) -> None:
    """If this fails, a changed patch or build flag is served by the old binary."""
    before = life.pulumi.outputs()["key"]
    life.values["pollex:build"]["flags"] += ["-DGGML_CPU_AARCH64=OFF"]
    life.write()
    done = life.pulumi.up()
    assert done.steps["llama-server"] in {"update", "replace"}
    assert done.steps["llama-model"] == "same"
    assert life.pulumi.outputs()["key"] != before
    assert life.polish("Say hello.")


def test_a_model_made_on_the_board_is_one_line(life: Deployment) -> None:
    """If this fails, a model for the board's own chip cannot be had, or is not what is served."""
    server = life.pulumi.outputs()["key"]
    life.write(model__quantise={"type": "Q4_0", "requantise": True})
    assert life.pulumi.up().steps["llama-server"] == "same"
    assert life.pulumi.outputs()["key"] == server
    (pid,) = life.show("MainPID")
    command = life.board.run(f"tr '\\0' ' ' </proc/{pid}/cmdline", user="root").stdout
    (served,) = re.findall(r"-m (\S+)", command)
    assert served.endswith(".to-Q4_0-Q8_0-Q8_0.gguf")
    assert life.board.run(f"head -c 4 {served}").stdout == "GGUF"
    assert life.polish("Say hello.")
    assert life.pulumi.up("--refresh").changes == {}


def test_a_damaged_model_is_made_again(life: Deployment) -> None:
    """If this fails, a bad block on the card means a wrong model, or none, until somebody deletes it by hand."""
    # neither the quantiser nor the file that it started from is left
    life.board.run("pollex-host gc --keep 0", user="root")
    (file,) = life.board.run("echo /opt/pollex/store/*/*.to-*.gguf").stdout.split()
    before = life.board.run(f"sha256sum <{file}").stdout
    life.board.run(f"cp {file} {file}.x; printf x >>{file}.x; mv {file}.x {file}", user="root")
    assert life.pulumi.up("--refresh").changes == {"update": 1}
    assert life.board.run(f"sha256sum <{file}").stdout == before
    life.write()
    life.pulumi.up()
    assert life.polish("Say hello.")


def test_the_board_finds_its_own_fastest_options(life: Deployment) -> None:
    """If this fails, a board cannot say how it is fastest, `refresh` hides it, or `tune: adopt` does nothing."""
    life.values["pollex:server"]["tune"] = "adopt"
    life.write(model__quantise={"type": "Q4_0", "requantise": True})
    life.pulumi.up()
    # a few tokens only: what wins is this machine's affair, that it is adopted, and no other file, is the tools'
    found = life.board.run("POLLEX_TUNE_PROMPT=8 POLLEX_TUNE_ANSWER=2 pollex-host tune", user="root").stdout
    answer = json.loads(found)
    made, published = "SmolLM2-135M-Instruct.Q4_1.to-Q4_0-Q8_0-Q8_0.gguf", "SmolLM2-135M-Instruct.Q4_1.gguf"
    assert answer["model"] == made
    assert {row.partition(": ")[0] for row in answer["table"]} == {made, published}
    assert answer["fastest"] == made or answer["advice"] == "remove the line `quantise: …` below pollex:model"
    (pid,) = life.show("MainPID")
    command = life.board.run(f"tr '\\0' ' ' </proc/{pid}/cmdline", user="root").stdout.strip()
    assert command.endswith(answer["winner"])
    assert f"/{made} " in command
    assert life.polish("Say hello.")
    life.pulumi.refresh()
    (generation,) = [one for one in life.pulumi.resources() if one["type"].endswith(":Generation")]
    facts = generation["outputs"]["facts"]
    assert facts["tuned"] == answer["winner"]
    assert facts["fastestModel"].startswith(answer["fastest"])
    assert life.pulumi.up("--refresh").changes == {}
    del life.values["pollex:server"]["tune"]
    life.write()
    life.pulumi.up()


@pytest.mark.fault("up", "a generation serves", "a build computes wrongly", "never activated")
def test_a_build_that_computes_wrongly_is_never_activated(life: Deployment) -> None:
    """If this fails, a compiler's or a patch's mistake goes live and turns texts into other texts."""
    # one sign of four in the dot product of Q6_K, which this stack's model does not hold: no completion could tell
    wrong = Path(__file__).with_name("wrong-sign.patch").read_text()
    (life.project / "patches/0099-compute-wrongly.patch").write_text(wrong)
    series = life.project / "patches/cpu.series"
    text = series.read_text()
    series.write_text(f"{text}0099-compute-wrongly.patch\n")
    before = life.status()
    refused(life.pulumi.up(check=False), "computes wrongly", "the log-probability of token", "pollex:build.flags")
    assert life.status()["live"] == before["live"]
    series.write_text(text)
    (life.project / "patches/0099-compute-wrongly.patch").unlink()
    assert life.polish("Say hello.")
    assert life.pulumi.up("--refresh").changes == {}


def test_a_second_board_compiles_nothing(life: Deployment, tmp_path: Path) -> None:
    """If this fails, every further board, and every reflashed one, compiles what another has built already."""
    with deploy("e2e-second", tmp_path) as second, Mirror(mirror.directory(), second.board.gateway) as kept:
        second.values["pollex:substituters"] = mirror.substituters(f"{kept.url}/store")
        second.write()
        second.pulumi.up()
        (ensured,) = [one for one in second.pulumi.resources() if one["urn"].endswith("::llama-server")]
        assert json.loads(ensured["outputs"]["stdout"])["how"] == "substituted"
        assert second.polish("Say hello.")
        assert second.board.run("command -v g++", check=False).returncode != 0


def test_destroy_leaves_the_board_as_found(life: Deployment, found: str) -> None:
    """If this fails, `destroy` leaves units or links behind, or does not say what it keeps."""
    done = life.pulumi.destroy()
    assert "/opt/pollex" in done.stdout
    assert life.show("LoadState") == ["not-found"]
    assert life.snapshot() == found
