"""Several boards in one declaration: what is wrong is named by host and key; what the gateway is given is reviewed."""

from __future__ import annotations

import copy
import datetime
import http.server
import json
import re
import shlex
import ssl
import subprocess
import threading
from pathlib import Path
from typing import Any

import httpx
import pulumi
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from bench.servers import running
from infra import ROOT
from infra.core.derivation import Derivation
from infra.core.report import ConfigError
from infra.hosttools.pollex_host import manifest
from infra.kinds import table
from infra.kinds.fleet import certificate, component, plan, units
from infra.kinds.fleet.spec import FleetStack
from sandbox.serving import free_port
from tests.certificates import NOW, certify
from tests.conftest import Golden
from tests.infra.conftest import loads, shut_in, values_of

KEY = "-----BEGIN OPENSSH PRIVATE KEY-----\nof the test\n"
PACKED = Derivation("polish", {"fixed here": "so that edits of the service do not change these files"})


@pytest.fixture
def fleet() -> dict[str, Any]:
    """The fleet stack's values, to change at will."""
    return copy.deepcopy(values_of("fleet"))


@pytest.fixture
def by_https(fleet: dict[str, Any]) -> dict[str, Any]:
    """The fleet stack's values with a certificate."""
    fleet["gateway"]["tls"] = {"certificateFile": "gateway.crt", "keyFile": "gateway.key"}
    fleet["polish"]["host"] = "127.0.0.1"
    return fleet


def parsed(values: dict[str, Any]) -> FleetStack:
    stack = table.parse(values, file="x")
    assert isinstance(stack, FleetStack)
    return stack


def front(values: dict[str, Any], certificate: str | None = None) -> plan.Front:
    """The gateway's plan, with keys of nobody."""
    stack = parsed(values)
    host_keys = {name: f"ssh-ed25519 AAAA{name}" for name in stack.boards}
    return plan.make(stack, host_keys, KEY, PACKED, certificate=certificate)


def problems(values: dict[str, Any]) -> dict[str, str]:
    with pytest.raises(ConfigError) as caught:
        table.parse(values, file="stacks/Pulumi.test.yaml")
    return {problem.key: f"{problem.value}: {problem.remedy}" for problem in caught.value.problems}


def test_generated_files(fleet: dict[str, Any], golden: Golden) -> None:
    """If this fails, the gateway gets other files than the ones that were reviewed."""
    made = front(fleet)
    for name, text in made.files.items():
        golden(f"fleet/{name}", text)
    golden("fleet/generation.json", manifest.text(made.generation.manifest, indent=2))
    golden("fleet/authorize", units.authorization("manu", "ssh-ed25519 AAAA me@here", "pollex-gateway-of-p/s", 8080))


def test_haproxy_accepts_it(fleet: dict[str, Any], tmp_path: Path) -> None:
    """If this fails, the gateway does not start, or ignores a line that was relied on."""
    text = front(fleet).files["haproxy.cfg"]
    # its own folder on the gateway is made by systemd
    (tmp_path / "haproxy.cfg").write_text(text.replace("/run/pollex-gateway", str(tmp_path)))
    command = ["/usr/sbin/haproxy", "-c", "-f", str(tmp_path / "haproxy.cfg")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, [line for line in done.stderr.splitlines() if "[" in line]) == (0, []), done.stderr


def test_systemd_accepts_the_units(by_https: dict[str, Any], tmp_path: Path) -> None:
    """If this fails, a unit of the gateway does not load."""
    for name, text in front(by_https).files.items():
        if name.endswith(".service"):
            here = re.sub(r"(ExecStart(?:Pre)?)=\S+", r"\1=/bin/true", text).replace("User=haproxy", "User=root")
            (tmp_path / name).write_text(here)
    for file in tmp_path.glob("*.service"):
        loads(file)


def test_the_units_are_shut_in(by_https: dict[str, Any], tmp_path: Path) -> None:
    """If this fails, whoever takes over the proxy takes over the gateway, and with its key all boards."""
    for name, text in front(by_https).files.items():
        if name.endswith(".service"):
            (tmp_path / name).write_text(text)
            shut_in(tmp_path / name, 20)


def test_ssh_reads_its_configuration(fleet: dict[str, Any], tmp_path: Path) -> None:
    """If this fails, a forward leads to another board, or to none."""
    file = tmp_path / "boards.conf"
    file.write_text(front(fleet).files["boards.conf"])
    shown = subprocess.run(["ssh", "-G", "-F", file, "nano2"], capture_output=True, text=True, check=True).stdout
    lines = set(shown.splitlines())
    assert {"hostname nano2.local", "localforward [127.0.0.1]:9102 [127.0.0.1]:8080"} <= lines
    assert {"stricthostkeychecking true", "hostkeyalias nano2", "exitonforwardfailure yes"} <= lines


def test_the_gateways_key_shows_nowhere(fleet: dict[str, Any]) -> None:
    """If this fails, whoever may read the gateway's manifest may reach the boards."""
    made = front(fleet)
    assert "of the test" not in manifest.text(made.generation.manifest) + "".join(made.files.values())
    assert made.generation.secrets == {units.KEY: KEY}


def test_what_differs_wins(fleet: dict[str, Any]) -> None:
    """If this fails, a board is set up with another one's port, threads or model file."""
    fleet["hosts"]["nano2"] |= {"server": {"threads": 2, "slots": 2, "port": 8081}, "build": {"flags": ["-DX=1"]}}
    stack = parsed(fleet)
    one, two = stack.boards.values()
    assert (one.server.threads, two.server.threads, one.server.context, two.server.context) == (4, 2, 2048, 2048)
    assert (one.build.flags, two.build.flags, one.polish) == ((), ("-DX=1",), None)
    assert plan.upstream(stack)["slots"] == 3
    made = front(fleet).files
    assert "server nano2 127.0.0.1:9102 maxconn 2 check" in made["haproxy.cfg"]
    assert "LocalForward 127.0.0.1:9102 127.0.0.1:8081" in made["boards.conf"]


def test_everything_wrong_is_said_at_once(fleet: dict[str, Any]) -> None:
    """If this fails, somebody mends one board a run, or the wrong one."""
    fleet["host"]["user"] = "Manu X"
    fleet["hosts"]["nano1"]["host"]["port"] = "ssh"
    fleet["hosts"]["nano1"]["host"]["adress"] = "typo"
    del fleet["hosts"]["nano2"]["host"]["address"], fleet["hosts"]["nano2"]["host"]["hostKeyFile"]
    fleet["hosts"]["nano2"]["polish"] = {}
    del fleet["model"]["sha256"]
    del fleet["gateway"]["host"]["address"]
    found = problems(fleet)
    assert set(found) == {
        "pollex:host.user",
        "pollex:hosts.nano1.host.port",
        "pollex:hosts.nano1.host.adress",
        "pollex:hosts.nano2.host.address",
        "pollex:hosts.nano2.polish",
        "pollex:model.sha256",
        "pollex:gateway.host.address",
    }
    assert found["pollex:hosts.nano1.host.port"].startswith('"ssh": ')
    assert found["pollex:hosts.nano1.host.adress"] == "unknown: is not a setting; did you mean address?"


@pytest.mark.parametrize(
    ("path", "value", "key"),
    [
        (("hosts", "nano2", "host", "address"), "nano1.local", "pollex:hosts.nano2.host.address"),
        (("gateway", "host", "address"), "nano1.local", "pollex:gateway.host.address"),
        (("hosts", "nano2", "model"), {"name": "other"}, "pollex:hosts.nano2.model.name"),
        (("hosts", "nano1", "server"), {"host": "0.0.0.0"}, "pollex:hosts.nano1.server.host"),
        (("polish", "port"), 9101, "pollex:polish.port"),
        (("polish", "settings"), {"llamacpp_hold_seconds": 1}, "pollex:polish.settings.llamacpp_hold_seconds"),
        (("hosts", "gateway"), {"host": {"address": "nano3.local", "hostKeyFile": "k"}}, "pollex:hosts.gateway"),
        (("polish", "settings"), {"slots": 9}, "pollex:polish.settings.slots"),
        (("cachePrivateKey",), "no key", "pollex:cachePrivateKey"),
    ],
)
def test_what_cannot_stand_together(fleet: dict[str, Any], path: tuple[str, ...], value: object, key: str) -> None:
    """If this fails, two boards are set up as one, or the gateway gives away what no board has."""
    *groups, last = path
    at = fleet
    for group in groups:
        at = at.setdefault(group, {})
    at[last] = value
    assert list(problems(fleet)) == [key]


def test_a_stack_that_publishes_is_read_without_its_secrets(fleet: dict[str, Any]) -> None:
    """If this fails, `make status` and `make preview`, which read no secrets, refuse every fleet that shares builds."""
    assert parsed(fleet | {"publish": "shared"}).publish == "shared"


def test_a_password_in_an_error_is_masked(fleet: dict[str, Any]) -> None:
    """If this fails, a secret of one board stands in everybody's log."""
    fleet["privateKeyPassword"] = 7
    assert next(iter(problems(fleet).values())).startswith("***")


def test_the_names_of_the_kinds_are_in_the_projects_file() -> None:
    """If this fails, `pulumi config` does not say that there are fleets."""
    text = (ROOT / "Pulumi.yaml").read_text()
    assert all(kind in text for kind in table.KINDS)


def test_generated_files_with_a_certificate(by_https: dict[str, Any], golden: Golden) -> None:
    """If this fails, the door to the street is another one than was reviewed."""
    made = front(by_https, certificate="of the test")
    for name in ("haproxy.cfg", "pollex-gateway.service"):
        golden(f"fleet/tls/{name}", made.files[name])
    assert made.generation.secrets == {units.KEY: KEY, units.CERTIFICATE: "of the test"}
    assert units.CERTIFICATE in manifest.text(made.generation.manifest)


def test_texts_travel_by_https_alone(by_https: dict[str, Any]) -> None:
    """If this fails, somebody declares a certificate, and what they write can be read on its way all the same."""
    del by_https["polish"]["host"]
    by_https["gateway"]["tls"]["port"] = 8090
    assert problems(by_https) == {
        "pollex:polish.host": '"0.0.0.0": with pollex:gateway.tls it is 127.0.0.1: what goes past HAProxy would be '
        "read on its way",
        "pollex:gateway.tls.port": "8090: is pollex:polish.port, or one of the gateway's own: choose another, such as "
        "443",
    }


class Echo(http.server.BaseHTTPRequestHandler):
    """A service that answers with the headers that reached it."""

    def do_GET(self) -> None:  # noqa: D102 - what its class says
        body = json.dumps({name.lower(): value for name, value in self.headers.items()}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_the_door_by_https(host: str, by_https: dict[str, Any], tmp_path: Path) -> None:
    """If this fails, nobody reaches the page, or whoever does can say that they are somebody else."""
    by_https["gateway"]["tls"]["host"] = host
    own, key = certify("gateway")
    (tmp_path / "gateway.pem").write_text(certificate.bundle(own, key, NOW))
    (tmp_path / "authority.pem").write_text(own)
    site, statistics, boards = free_port(), free_port(), free_port()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Echo) as service:
        threading.Thread(target=service.serve_forever, daemon=True).start()
        given = {
            "/run/pollex-gateway": str(tmp_path),
            f"/run/credentials/{units.GATEWAY_UNIT}/certificate": str(tmp_path / "gateway.pem"),
            f"{host}:443": f"{host}:{site}",
            "127.0.0.1:8090": f"127.0.0.1:{service.server_port}",
            "127.0.0.1:9100": f"127.0.0.1:{boards}",
            "127.0.0.1:9199": f"127.0.0.1:{statistics}",
        }
        text = front(by_https, certificate="").files["haproxy.cfg"]
        for there, here in given.items():
            assert there in text
            text = text.replace(there, here)
        (tmp_path / "haproxy.cfg").write_text(text)
        command: list[str | Path] = ["/usr/sbin/haproxy", "-db", "-q", "-f", tmp_path / "haproxy.cfg"]
        with running(command, f"http://127.0.0.1:{statistics}/livez"):
            trusts = ssl.create_default_context(cafile=tmp_path / "authority.pem")
            forged = {"X-Forwarded-For": "10.0.0.7", "Cf-Connecting-Ip": "10.0.0.8", "X-Forwarded-Proto": "http"}
            with httpx.Client(verify=trusts, trust_env=False, timeout=60) as client:
                seen = client.get(f"https://127.0.0.1:{site}/", headers=forged).raise_for_status().json()
            with pytest.raises(httpx.TransportError), httpx.Client(trust_env=False, timeout=60) as client:
                client.get(f"http://127.0.0.1:{site}/").raise_for_status()
        service.shutdown()
    assert seen["x-forwarded-for"].removeprefix("::ffff:") == "127.0.0.1"
    assert seen["x-forwarded-proto"] == "https"
    assert "cf-connecting-ip" not in seen


def test_a_certificate_that_nobody_would_believe_is_refused() -> None:
    """If this fails, the gateway restarts into a page that every browser warns of, or does not start at all."""
    own, key = certify("gateway")
    _, other = certify("other")
    old, old_key = certify("gateway", days=(-90, -1))
    new, new_key = certify("gateway", days=(1, 90))
    private = serialization.load_pem_private_key(key.encode(), password=None)
    assert isinstance(private, ec.EllipticCurvePrivateKey)
    sealed = private.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"passphrase"),
    ).decode()
    expected = {
        (own, other): ("keyFile", "is not the key of the first certificate in certificateFile (CN=gateway)"),
        (own, sealed): ("keyFile", "has a passphrase"),
        (own, own): ("keyFile", "holds no private key in PEM"),
        (key, key): ("certificateFile", "holds no certificate in PEM"),
        (old, old_key): ("certificateFile", f"expired on {NOW - datetime.timedelta(days=1):%Y-%m-%d}"),
        (new, new_key): ("certificateFile", f"is valid from {NOW + datetime.timedelta(days=1):%Y-%m-%d}"),
    }
    for pair, (setting, text) in expected.items():
        with pytest.raises(certificate.CertificateRefusedError, match=re.escape(text)) as refused:
            certificate.bundle(*pair, NOW)
        assert refused.value.setting == setting


def test_a_key_that_nobody_can_use_says_how_to_make_one(fleet: dict[str, Any], tmp_path: Path) -> None:
    """If this fails, who forgot the gateway's key learns of it on the gateway, or is told to make another one."""
    key = tmp_path / "it's a key"
    fleet["gateway"]["keyFile"] = str(key)
    stack, public = parsed(fleet), key.with_name(f"{key.name}.pub")
    new = f"to make it: ssh-keygen -t ed25519 -N '' -f {shlex.quote(str(key))}"
    half = f"to make it: ssh-keygen -y -f {shlex.quote(str(key))} >{shlex.quote(str(public))}"

    def refused() -> str:
        with pytest.raises(pulumi.RunError) as error:
            component._key(stack)
        return str(error.value)

    assert f"{key}  cannot be read: No such file or directory; {new}" in refused()
    key.write_text("")
    assert f"{key}  is empty; {new}" in refused()
    key.write_text(KEY)
    assert f"{public}  cannot be read: No such file or directory; {half}" in refused()
    public.write_text("ssh-ed25519\n")
    assert f"{public}  holds no public key; {half}" in refused()
    public.write_text("ssh-ed25519 AAAA me@here\n")
    assert component._key(stack) == (KEY, "ssh-ed25519 AAAA me@here")
