"""Generated text is quoted for its reader, whatever the values are."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra import HOST_FOLDER
from infra.kinds import table
from infra.kinds.host import units
from infra.kinds.host.spec import HostStack
from tests.infra.conftest import loads, shut_in

KNOWN_TO_SYSTEMD_237 = {
    *("Before", "RemainAfterExit", "LimitMEMLOCK", "OOMScoreAdjust", "MemoryHigh"),
    *("Wants", "Nice", "IOSchedulingClass", "TimeoutStopSec"),
    *("Description", "After", "Type", "User", "SupplementaryGroups", "ExecStart", "Restart", "RestartSec"),
    *("CacheDirectory", "Environment", "WantedBy"),
    *("NoNewPrivileges", "PrivateTmp", "ProtectSystem", "ProtectHome", "LockPersonality", "RestrictRealtime"),
    *("RestrictAddressFamilies", "UMask"),
    *("DynamicUser", "EnvironmentFile", "MemoryMax", "TasksMax", "CapabilityBoundingSet", "PrivateDevices"),
    *("ProtectKernelTunables", "ProtectKernelModules", "ProtectControlGroups", "RestrictNamespaces"),
    *("RemoveIPC", "LimitCORE", "DevicePolicy", "DeviceAllow", "IPAddressDeny", "IPAddressAllow"),
    *("MemoryDenyWriteExecute", "SystemCallArchitectures", "SystemCallFilter", "SystemCallErrorNumber"),
}
"""Directives in systemd 237's manual pages systemd.unit(5), .service(5), .exec(5), .resource-control(5); the youngest
are DynamicUser, CacheDirectory and LockPersonality, of 235."""

CALLS_KNOWN_TO_SYSTEMD_237 = {
    *("@aio", "@basic-io", "@chown", "@clock", "@cpu-emulation", "@debug", "@default", "@file-system", "@io-event"),
    *("@ipc", "@keyring", "@memlock", "@module", "@mount", "@network-io", "@obsolete", "@privileged", "@process"),
    *("@raw-io", "@reboot", "@resources", "@setuid", "@signal", "@swap", "@sync", "@timer"),
}
"""The groups of system calls in src/shared/seccomp-util.c of systemd 237; @system-service came in 239."""


def host(values: dict[str, Any]) -> HostStack:
    stack = table.parse(values, file="x")
    assert isinstance(stack, HostStack)
    return stack


def unit_files(stack: HostStack) -> dict[str, str]:
    build, back = HOST_FOLDER / "pollex-build@.service", HOST_FOLDER / "pollex-return.service"
    return {
        units.LLAMA_SERVER_UNIT: units.llama_server_unit(stack.server, stack.model, stack.build),
        build.name: build.read_text(),
        back.name: back.read_text(),
        **({units.POLLEX_UNIT: units.pollex_unit(stack.polish)} if stack.polish is not None else {}),
    }


def test_directives_are_known_to_the_board(host_stack: HostStack) -> None:
    """If this fails, JetPack's systemd ignores a line that was relied on."""
    for text in unit_files(host_stack).values():
        joined = text.replace("\\\n", "")
        names = {line.partition("=")[0] for line in joined.splitlines() if line and line[0] not in "[#"}
        assert names <= KNOWN_TO_SYSTEMD_237
        calls = re.search(r"^SystemCallFilter=~(.*)$", joined, re.MULTILINE)
        assert calls is None or set(calls[1].split()) <= CALLS_KNOWN_TO_SYSTEMD_237


def test_systemd_accepts_the_units(host_stack: HostStack, tmp_path: Any) -> None:
    """If this fails, the unit does not load on the board."""
    for name, text in unit_files(host_stack).items():
        # the programs and the account are the board's; here any that exist will do
        here = re.sub(r"ExecStart=\S+", "ExecStart=/bin/true", text)
        here = re.sub(r"^User=.*", "User=root", here, flags=re.MULTILINE)
        (tmp_path / name).write_text(here)
        loads(tmp_path / name)


MOST_EXPOSED = {units.LLAMA_SERVER_UNIT: 40, units.POLLEX_UNIT: 20}
"""Ten times what `systemd-analyze security` may say of a unit that runs for long."""


def test_the_units_are_shut_in(host_stack: HostStack, tmp_path: Path) -> None:
    """If this fails, whoever takes over a server by a text or a model file gets more of the board than it needs."""
    texts = unit_files(host_stack)
    for name, most in MOST_EXPOSED.items():
        (tmp_path / name).write_text(texts[name])
        shut_in(tmp_path / name, most)


@pytest.mark.parametrize(
    ("change", "lines"),
    [
        (
            {},
            {"DevicePolicy=closed", "DeviceAllow=/dev/nvmap rw", "DeviceAllow=/dev/nvhost-gpu rw", "IPAddressDeny=any"},
        ),
        ({"devices": ["/dev/dri/renderD128"]}, {"DevicePolicy=closed", "DeviceAllow=/dev/dri/renderD128 rw"}),
        ({"devices": []}, {"PrivateDevices=yes"}),
        ({"user": None}, {"DynamicUser=yes", "CacheDirectory=pollex-llama-server", "SupplementaryGroups=video"}),
    ],
)
def test_what_the_server_may_open(values: dict[str, Any], change: dict[str, Any], lines: set[str]) -> None:
    """If this fails, the GPU's server sees no GPU, or every disk of the board."""
    values["server"] |= change
    stack = host(values)
    assert lines <= set(units.llama_server_unit(stack.server, stack.model, stack.build).splitlines())


def test_a_server_for_others_answers_them(values: dict[str, Any]) -> None:
    """If this fails, a llama-server that was opened to a network answers nobody there."""
    values["server"]["host"] = "0.0.0.0"
    stack = host(values)
    assert "IPAddressDeny" not in units.llama_server_unit(stack.server, stack.model, stack.build)


@pytest.mark.parametrize(
    ("word", "written"),
    [
        ("plain", "plain"),
        ("", '""'),
        ("two words", '"two words"'),
        ("100%", "100%%"),
        ("$HOME", "$$HOME"),
        ('say "hi"', '"say \\"hi\\""'),
        ("it's", '"it\'s"'),
        ("back\\slash", '"back\\\\slash"'),
        ("a;b", '"a;b"'),
        ("Grüße", "Grüße"),
    ],
)
def test_systemd_word(word: str, written: str) -> None:
    """If this fails, an odd path or model name becomes another command line."""
    assert units.systemd_word(word) == written


def systemd_reads(text: str) -> list[str]:
    """Split a command line as systemd does (systemd.syntax(7)), for quoted words, `%%` and `$$`."""
    words, word, quoted, started = [], "", False, False
    characters = iter(text)
    for character in characters:
        if character == "\\":
            word += next(characters)
        elif character == '"':
            quoted, started = not quoted, True
        elif character == " " and not quoted:
            words.append(word)
            word, started = "", False
        elif character in "%$":
            assert next(characters) == character
            word += character
        else:
            word += character
            started = True
    return [*words, word] if started or word else words


printable = st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]), max_size=20)


@given(st.lists(printable, min_size=1, max_size=4))
def test_words_survive_systemd(words: list[str]) -> None:
    """If this fails, two arguments run together or one is cut in two."""
    assert systemd_reads(" ".join(units.systemd_word(word) for word in words)) == words


@pytest.mark.parametrize(
    ("listens", "url"),
    [
        ("127.0.0.1", "http://localhost:8080"),
        ("0.0.0.0", "http://localhost:8080"),
        ("192.168.1.7", "http://192.168.1.7:8080"),
        ("fd00::7", "http://[fd00::7]:8080"),
    ],
)
def test_local_url(values: dict[str, Any], listens: str, url: str) -> None:
    """If this fails, the gate and the service ask at an address where nobody listens."""
    values["server"]["host"] = listens
    assert units.app_config(host(values))["llamacpp_url"] == url


def test_flags_of_the_command(values: dict[str, Any]) -> None:
    """If this fails, a setting does not reach llama-server."""
    values["server"] |= {"contextShift": True, "slots": 3, "slotsEndpoint": False, "extraArgs": ["-ub", "256", "-fa"]}
    stack = host(values)
    command = units.llama_server_command(stack.server, stack.model)
    assert "--no-context-shift" not in command
    assert "--slots" not in units.llama_server_command(stack.server.model_copy(update={"extra_args": ()}), stack.model)
    assert command[command.index("-np") + 1] == "3"
    assert command[-3:] == ("-ub", "256", "-fa")


def test_a_guess_at_a_secret_is_slow(values: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """If this fails, a weak key can be found out by its hash, which is shown."""
    paid: list[int] = []
    real = hashlib.scrypt

    def scrypt(*arguments: Any, **costs: Any) -> bytes:
        paid.append(128 * costs["n"] * costs["r"])  # RFC 7914: what each guess needs of memory, in bytes
        return real(*arguments, **costs)

    monkeypatch.setattr(hashlib, "scrypt", scrypt)
    first_lines = set()
    for key in ("hunter2", "hunter3"):
        values["polish"]["apiKey"] = key
        polish = host(values).polish
        assert polish is not None
        text = units.secrets_env(polish)
        assert text is not None
        first_line, _, rest = text.partition("\n")
        assert rest == f'POLLEX_API_KEY="{key}"\n'
        # what is hashed of it begins with what only the slow hash of this very key gives
        assert re.fullmatch("# [0-9a-f]{32}", first_line)
        first_lines.add(first_line)
    assert len(first_lines) == 2
    assert min(paid) >= 16 << 20


def test_what_was_measured_is_adopted_only_when_asked(values: dict[str, Any]) -> None:
    """If this fails, a board runs with options that nobody declared, or a declared `tune: adopt` changes nothing."""
    plain = host(values)
    values["server"]["tune"] = "adopt"
    adopting = host(values)
    before, after = (units.llama_server_unit(one.server, one.model, one.build) for one in (plain, adopting))
    added = set(after.splitlines()) - set(before.splitlines())
    assert added >= {"    $POLLEX_TUNED", "EnvironmentFile=-/opt/pollex/facts/tune.env"}
    assert "TUNED" not in before
    assert "tune.env" not in before
    # last, so that it wins over what stands before it
    (command,) = re.findall(r"ExecStart=((?:.*\\\n)*.*)", after)
    assert command.endswith("$POLLEX_TUNED")
