"""A secret may stand in the wrong place; it still appears nowhere."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from infra import ROOT
from infra.core import signing
from infra.core.masking import holds_login, masked
from infra.core.report import ConfigError
from infra.kinds import table
from infra.kinds.host import plan
from infra.kinds.host.spec import HostStack
from tests.infra.conftest import values_of

CANARY = "hunter2-canary|hunter3|hunter4"
LOGIN = "https://somebody:hunter2-canary@example.org"
PEM = f"-----BEGIN PRIVATE KEY-----\n{CANARY}\n-----END PRIVATE KEY-----\n"
PUBLIC = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE" + 86 * "a" + "=="

PLACES: dict[str, tuple[str, Any]] = {
    "right key, wrong type": ("privateKey", {"pem": CANARY}),
    "right key, in a list": ("privateKey", [CANARY]),
    "right key, a group of the service": ("polish.apiKey", [CANARY]),
    "right key, two lines": ("polish.llamacppApiKey", {"key": CANARY}),
    "wrong key": ("privteKey", CANARY),
    "wrong key of a group": ("polish.apikey", CANARY),
    "wrong group": ("server.privateKeyPassword", CANARY),
    "in place of a group": ("host", CANARY),
    "in place of the settings": ("polish.settings", CANARY),
    "a key where its hash should stand": ("polish.apiKeys", {"ana": CANARY}),
    "such a key among the settings of the service": ("polish.settings", {"api_keys": {"ana": CANARY}}),
    "among the settings of the service": ("polish.settings", {"api_key": CANARY}),
    "two among the settings of the service": ("polish.settings", {"api_key": CANARY, "claude_api_key": CANARY}),
    "a wrong one among the settings of the service": ("polish.settings", {"anthropic_kye": CANARY}),
    "a list among the settings of the service": ("polish.settings", {"llamacpp_api_key": [CANARY]}),
    "a URL among the settings of the service": ("polish.settings", {"ollama_url": f"{LOGIN}:11434"}),
    "the model's URL": ("model.url", f"{LOGIN}/model.gguf"),
    "a mirror of the model": ("model.mirrors", [f"{LOGIN}/model.gguf"]),
    "a mirror of the source": ("source.mirrors", [f"git {LOGIN}/llama.cpp"]),
    "a mirror of the source of no kind": ("source.mirrors", [f"{LOGIN}/llama.cpp"]),
    "a token as the user": ("source.mirrors", ["git https://hunter2-canary@example.org/llama.cpp"]),
    "a substituter": ("substituters", [LOGIN]),
    "a substituter's address": ("substituters", [{"url": LOGIN, "publicKey": PUBLIC}]),
    "a private key as a public one": ("substituters", [{"url": "http://a", "publicKey": PEM}]),
    "the key that signs, which is none": ("cachePrivateKey", CANARY),
    "a substituter that is no list": ("substituters", LOGIN),
    "an interpreter": ("polish.python", {"version": "3.12", "url": f"{LOGIN}/p.tar.gz", "sha256": "0" * 64}),
    "an argument": ("server.extraArgs", ["--api-key", CANARY]),
    "an argument in one word": ("server.extraArgs", [f"--api-key={CANARY}"]),
    "two arguments": ("server.extraArgs", ["--hf-token", CANARY, "--api-key", CANARY]),
    "arguments as one text": ("server.extraArgs", "--api-key hunter2-canary"),
    "a CMake flag": ("build.flags", [f"-DX=ON {LOGIN}"]),
    "the address": ("host.address", LOGIN),
}


def with_secret(place: str) -> dict[str, Any]:
    """The jetson stack's values with the canary there."""
    values = values_of("jetson")
    key, content = PLACES[place]
    *groups, name = key.split(".")
    group: Any = values
    for part in groups:
        group = group[part]
    group[name] = content
    return values


def planned(values: dict[str, Any]) -> plan.Plan:
    stack = table.parse(values, file="stacks/Pulumi.test.yaml")
    assert isinstance(stack, HostStack)
    return plan.load(stack)


@pytest.mark.parametrize("place", PLACES)
def test_a_secret_in_any_place_is_refused_and_not_shown(place: str) -> None:
    """If this fails, a key that was set in a wrong place stands in a terminal, a log of CI, or the stack's state."""
    with pytest.raises(ConfigError) as caught:
        planned(with_secret(place))
    text = f"{caught.value}{caught.value!r}{caught.value.problems}"
    assert "hunter2" not in text
    assert "hunter3" not in text
    assert "hunter4" not in text
    assert f"pollex:{PLACES[place][0]}" in text


OTHERS = {
    "image": {
        "registryToken": [CANARY],
        "registrytoken": CANARY,
        "image.token": CANARY,
        "image.registry": "somebody:hunter2-canary@docker.io",
        "image.base": f"docker-image://somebody:{CANARY}@docker.io/debian",
        "source.mirrors": [f"git {LOGIN}/llama.cpp"],
    },
    "dev": {
        "registryToken": CANARY,
        "service.apiKey": CANARY,
        "chat.apiKey": [CANARY],
        "images.server": f"https://somebody:{CANARY}@docker.io/server",
        "images.token": CANARY,
        "embeddings.model": LOGIN,
        "network": LOGIN,
    },
}
"""Of the kinds that have few secrets or none, or in which one may be thought to belong."""


@pytest.mark.parametrize(("kind", "place"), [(kind, place) for kind, places in OTHERS.items() for place in places])
def test_a_secret_in_any_place_of_the_other_kinds(kind: str, place: str) -> None:
    """If this fails, a registry's token that was set in a wrong place stands in a terminal or a log of CI."""
    values = values_of(kind)
    *groups, name = place.split(".")
    group: Any = values
    for part in groups:
        group = group[part]
    group[name] = OTHERS[kind][place]
    with pytest.raises(ConfigError) as caught:
        table.files(table.parse(values, file=f"stacks/Pulumi.{kind}.yaml"))
    assert "hunter" not in f"{caught.value}{caught.value!r}{caught.value.problems}"
    assert f"pollex:{place}" in str(caught.value)


@pytest.mark.parametrize("kind", table.KINDS)
def test_what_is_set_as_a_secret_is_one_or_refused(kind: str) -> None:
    """If this fails, what was set with --secret stands in the state and on the board, for all to read."""
    values, file = values_of({"host": "jetson"}.get(kind, kind)), f"stacks/Pulumi.{kind}.yaml"
    spec = table.KINDS[kind].spec
    kept = {"host": {"polish"}, "fleet": {"polish"}, "image": set[str](), "dev": set[str]()}[kind]
    for name in values:
        if name in kept:
            assert isinstance(table.parse(values, file=file, secret=[name]), spec)
            continue
        with pytest.raises(ConfigError) as caught:
            table.parse({**values, "unheard": CANARY}, file=file, secret=[name, "unheard"])
        said = {problem.key: problem for problem in caught.value.problems}
        assert set(said) == {f"pollex:{name}", "pollex:unheard"}
        assert (said[f"pollex:{name}"].value, said["pollex:unheard"].value) == ("a secret", "unknown")
    if kind == "image":
        assert isinstance(table.parse({**values, "registryToken": CANARY}, file=file, secret=["registryToken"]), spec)


@pytest.mark.parametrize(
    ("settings", "keys"),
    [
        ({"api_key": "a", "claude_api_key": "b", "port": 80}, {"api_key", "claude_api_key", "port"}),
        ({"api_key": "a|b|c"}, {"api_key"}),
    ],
)
def test_one_group_reports_everything(settings: dict[str, Any], keys: set[str]) -> None:
    """If this fails, somebody mends one setting a run, or reads half of a value as the advice."""
    values = values_of("jetson")
    values["polish"]["settings"] = settings
    with pytest.raises(ConfigError) as caught:
        table.parse(values, file="x")
    shown = {problem.key.removeprefix("pollex:polish.settings."): problem for problem in caught.value.problems}
    assert shown.keys() == keys
    assert shown["api_key"].value == "***"
    assert shown["api_key"].remedy == "is set by pollex:polish.apiKey"


def test_secrets_in_their_right_places_are_in_nothing_that_is_shown(tmp_path: Path) -> None:
    """If this fails, a key that was set as it should be stands in a review, a manifest, a state or an output."""
    values = values_of("jetson")
    values["privateKey"], values["privateKeyPassword"] = "hunter2-canary-a", "hunter2-canary-b"
    values["cachePrivateKey"], values["publish"] = signing.new_key(), "shared"
    inside = values["cachePrivateKey"].splitlines()[1]
    values["polish"] |= {"apiKey": "hunter2-canary-c", "claudeApiKey": "hunter2-canary-d"}
    stack, made = table.parse(values, file="x"), planned(values)
    content = {**vars_of(made), "secrets": None}
    assert "hunter2" not in json.dumps(content, default=str)
    assert "hunter2" not in repr(stack)
    assert inside not in json.dumps(content, default=str) + repr(stack)
    file = tmp_path / "Pulumi.canary.yaml"
    file.write_text(yaml.safe_dump({"config": {f"pollex:{name}": value for name, value in values.items()}}))
    for command in (["infra.review", "render", str(file), str(tmp_path / "out")], ["infra.graph", "canary", str(file)]):
        done = subprocess.run([sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert "hunter2" not in done.stdout + done.stderr
        assert inside not in done.stdout + done.stderr
    assert not [name for name in (tmp_path / "out").iterdir() if "hunter2" in name.read_text()]


@pytest.mark.parametrize("kind", ["image", "fleet", "dev"])
def test_secrets_of_the_other_kinds_are_in_nothing_that_is_shown(kind: str, tmp_path: Path) -> None:
    """If this fails, a registry's token or a fleet's keys stand in a review, a plan or a rendered file."""
    values = values_of(kind)
    if kind == "image":
        values["registryToken"] = "hunter2-canary-a"
    if kind == "fleet":
        values["privateKey"], values["privateKeyPassword"] = "hunter2-canary-a", "hunter2-canary-b"
        values["polish"] |= {"apiKey": "hunter2-canary-c", "claudeApiKey": "hunter2-canary-d"}
        values["polish"] |= {"llamacppApiKey": "hunter2-canary-e"}
    shown = repr(table.parse(values, file="x"))
    file = tmp_path / "Pulumi.canary.yaml"
    file.write_text(yaml.safe_dump({"config": {f"pollex:{name}": value for name, value in values.items()}}))
    for command in (["infra.review", "render", str(file), str(tmp_path / "out")], ["infra.graph", "canary", str(file)]):
        done = subprocess.run([sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        shown += done.stdout + done.stderr
    rendered = list((tmp_path / "out").rglob("*"))
    assert rendered
    shown += "".join(name.read_text() for name in rendered if name.is_file())
    assert "hunter2" not in shown


def vars_of(made: plan.Plan) -> dict[str, Any]:
    """What of a plan goes into the state in clear, or to a reviewer."""
    shown = {name: getattr(made, name) for name in made.__slots__ if name != "generation"}
    return shown | {"generation": [made.generation.id, made.generation.manifest, made.generation.live]}


words = st.text("abc:/@?&=-. ", max_size=30)


@given(words, words)
def test_a_login_is_masked_wherever_it_stands(before: str, after: str) -> None:
    """If this fails, a line of progress shows the password of a mirror."""
    text = f"{before} git https://somebody:hunter2@example.org/{after}"
    assert holds_login(text)
    assert "hunter2" not in masked(text)
    assert "example.org" in masked(text)


@pytest.mark.parametrize(
    "text",
    [
        "fetching https://example.org/x?access_token=hunter2&part=1",
        '"somebody:hunter2@registry.example.org:5000"',
        "fetching https://example.org/x?X-Amz-Signature=hunter2",
        "llama-server --api-key hunter2 --port 8080",
        "llama-server --api-key=hunter2",
        "LLAMA_API_KEY=hunter2",
        '["--api-key", "hunter2"]',
        "-----BEGIN OPENSSH PRIVATE KEY-----\nhunter2\n",
        "key sk-ant-hunter2hunter2",
        f"pollex_hunter2{'-' * 36}",
    ],
)
def test_other_forms_of_a_secret_are_masked(text: str) -> None:
    """If this fails, a message that repeats a command or an address gives a key away."""
    assert "hunter2" not in masked(text)


@pytest.mark.parametrize(
    "text",
    [
        "git https://github.com/ggml-org/llama.cpp",
        "manu@jetson.local:22",
        "--max-tokens 5",
        "ssh://git@host/x",
        "git@github.com:ggml-org/llama.cpp",
        f"debian:bookworm-slim@sha256:{'a' * 64}",
    ],
)
def test_what_is_no_secret_stays_readable(text: str) -> None:
    """If this fails, a report hides the very value that is wrong."""
    assert masked(text) == text


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    "unit", ["x", "a-", "?", "&a", "a://b:", ":", "https://", "token", "--token ", "-", "token=", "sk-"]
)
def test_a_long_line_is_masked_at_once(unit: str) -> None:
    """If this fails, one long line of a compiler's output holds `pulumi up` up for hours."""
    line = f"a://{unit * (500_000 // len(unit))}"
    assert "hunter2" not in masked(f"{line} https://you:hunter2@example.org/")
