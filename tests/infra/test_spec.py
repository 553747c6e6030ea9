"""Configuration is read once, and complains once, about everything."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_origin

import pytest
import yaml
from pydantic import BaseModel, SecretStr

from infra import ROOT
from infra.core import report, stackfile
from infra.core.report import ConfigError, Problem, group_of
from infra.core.settings import POLISH_PORT, REFERENCE
from infra.kinds import table
from infra.kinds.host.spec import HostStack
from pollex import target
from pollex.settings import Settings


def problems(values: dict[str, Any]) -> dict[str, Problem]:
    with pytest.raises(ConfigError) as caught:
        table.parse(values, file="stacks/Pulumi.test.yaml")
    return {problem.key: problem for problem in caught.value.problems}


def test_committed_stacks_are_valid(stack_name: str) -> None:
    """If this fails, a fresh clone cannot even be previewed."""
    file = ROOT / "stacks" / f"Pulumi.{stack_name}.yaml"
    assert table.parse(stackfile.values(file), file=file.name).kind in table.KINDS


@pytest.mark.parametrize("kind", [None, "hots", ["host"]])
def test_a_stack_says_what_it_declares(values: dict[str, Any], kind: object) -> None:
    """If this fails, a mistyped kind drowns in complaints about settings that another kind lacks."""
    assert list(problems({**values, "kind": kind} if kind else {"host": {}})) == ["pollex:kind"]


def test_jetson_is_the_original_recipe(values: dict[str, Any]) -> None:
    """If this fails, the Nano silently gets other values than the recipe that was measured."""
    stack = table.parse(values, file="x")
    assert isinstance(stack, HostStack)
    server, model = stack.server, stack.model
    assert stack.source.commit.startswith("23106f9")
    assert model.path == "/opt/llama-models/qwen2.5-1.5b-instruct-q4_k_m.gguf"
    assert "Qwen/Qwen2.5-1.5B-Instruct-GGUF" in model.url
    assert (server.user, server.host, server.port) == ("manu", "127.0.0.1", 8080)
    assert (server.gpu_layers, server.context, server.threads) == (999, 2048, 4)
    assert (server.restart, server.restart_sec) == ("on-failure", 5)


def test_everything_wrong_is_said_at_once(values: dict[str, Any]) -> None:
    """If this fails, a user mends one key a run instead of all of them."""
    values["host"] |= {"port": "ssh", "adress": "typo", "user": "Manu X"}
    del values["host"]["address"], values["model"]["sha256"]
    values["source"]["mirrors"] = ["https://example.org/llama.cpp"]
    values["build"]["jobs"] = 0
    values["privateKey"] = 7
    values["mode1"] = {}
    found = problems(values)
    assert set(found) == {
        "pollex:host.port",
        "pollex:host.adress",
        "pollex:host.user",
        "pollex:host.address",
        "pollex:model.sha256",
        "pollex:source.mirrors.0",
        "pollex:build.jobs",
        "pollex:privateKey",
        "pollex:mode1",
    }
    assert found["pollex:host.adress"].remedy == "is not a setting; did you mean address?"
    assert found["pollex:host.port"].value == '"ssh"'
    assert found["pollex:model.sha256"].value == "missing"
    assert "64 hex digits" in found["pollex:model.sha256"].remedy
    assert found["pollex:privateKey"].value == "***"


def test_report_reads_well(values: dict[str, Any]) -> None:
    """If this fails, the report no longer says where, what and what to do."""
    values["host"]["port"] = 70000
    del values["model"]["sha256"]
    with pytest.raises(ConfigError) as caught:
        table.parse(values, file="stacks/Pulumi.jetson.yaml")
    assert str(caught.value) == (
        "stacks/Pulumi.jetson.yaml has 2 problems\n"
        "  pollex:host.port     70000    should be less than or equal to 65535: its SSH port\n"
        "  pollex:model.sha256  missing  the file's SHA-256, 64 hex digits\n"
        "every setting: docs/reference/config.md · nothing was contacted"
    )


@pytest.mark.parametrize(
    ("group", "name", "value"),
    [
        ("host", "hostKey", "ssh-ed25519"),
        ("host", "address", ""),
        ("host", "address", "board\nProxyCommand=x"),
        ("host", "sudo", False),
        ("host", "architecture", "armv7l"),
        ("source", "commit", "23106f9"),
        ("source", "tag", "latest"),
        ("source", "mirrors", []),
        ("source", "mirrors", ["git"]),
        ("model", "path", "llama-models/x.gguf"),
        ("model", "path", "/opt/../etc/passwd"),
        ("model", "path", "/opt/models/"),
        ("model", "size", 0),
        ("model", "size", 1.5),
        ("model", "size", True),
        ("model", "url", "ftp://example.org/x"),
        ("model", "url", "https:// x"),
        ("server", "threads", 0),
        ("server", "restart", "sometimes"),
        ("server", "extraArgs", ["-x\n--y"]),
        ("build", "profile", "cuda11"),
        ("build", "flags", ["GGML_CUDA=ON"]),
    ],
)
def test_one_wrong_value_is_named(values: dict[str, Any], group: str, name: str, value: object) -> None:
    """If this fails, a wrong value reaches the board, or the report blames another key."""
    values[group][name] = value
    (key,) = problems(values)
    assert key.startswith(f"pollex:{group}.{name}")


def test_a_host_key_must_be_pinned(values: dict[str, Any]) -> None:
    """If this fails, anybody on the network can pose as the board."""
    del values["host"]["hostKeyFile"]
    assert "ssh-keyscan" in problems(values)["pollex:host.hostKey"].remedy


def test_secrets_do_not_show(values: dict[str, Any]) -> None:
    """If this fails, a private key stands in a log."""
    values["privateKey"] = "-----BEGIN KEY-----"
    assert "BEGIN" not in repr(table.parse(values, file="x"))


def test_reference_is_current() -> None:
    """If this fails, docs/reference/config.md lacks or misstates a setting: run `make docs`."""
    from infra import reference  # noqa: PLC0415 - only this test needs it

    page = Path(__file__).parents[2] / REFERENCE
    assert page.read_text() == reference.page()


POLISH = {
    "python.sha256": ({"python": {"version": "3.12", "url": "https://example.org/python.tar.gz"}}, "missing"),
    "python.url": ({"python": {"version": "3.12", "sha256": "0" * 64}}, "missing"),
    "python.version": ({"python": {"version": "3.6"}}, '"3.6"'),
    "settings.port": ({"settings": {"port": 80}}, "80"),
    "apiKey": ({"apiKey": 7}, "***"),
    "prompt": ({"prompt": ""}, '""'),
}


@pytest.mark.parametrize("key", POLISH)
def test_wrong_values_of_the_service_are_named(values: dict[str, Any], key: str) -> None:
    """If this fails, a service that cannot start is declared, or a secret stands in an error."""
    change, shown = POLISH[key]
    values["polish"] |= change
    (problem,) = problems(values).values()
    assert (problem.key, problem.value) == (f"pollex:polish.{key}", shown)


def test_the_project_names_every_setting() -> None:
    """If this fails, `pulumi up` says of a missing setting only that it is missing, or shows a secret in clear."""
    project = yaml.safe_load((ROOT / "Pulumi.yaml").read_text())["config"]
    fields = {
        field.alias or name: field for kind in table.KINDS.values() for name, field in kind.spec.model_fields.items()
    }
    assert set(project) == set(fields)
    for name, field in fields.items():
        types = {field.annotation, *getattr(field.annotation, "__args__", ())}
        listed = any(get_origin(one) is tuple for one in types)
        grouped = group_of(field.annotation) or any(get_origin(one) is dict for one in types)
        wanted = "array" if listed else "object" if grouped else "string"
        declared = project[name]
        assert declared.get("type", "string") == wanted, name
        assert not declared["default"], name
        assert declared.get("secret", False) == (SecretStr in types), name


def test_the_port_of_the_polish_service_is_its_own() -> None:
    """If this fails, a container listens on one port and is published, or asked, on another."""
    assert Settings.model_fields["port"].default == POLISH_PORT
    assert f"http://localhost:{POLISH_PORT}" == target.DEFAULT_URL
    assert f"\nEXPOSE {POLISH_PORT}\n" in (ROOT / "image/polish/Dockerfile").read_text()


def test_names_of_secrets_are_known_as_such() -> None:
    """If this fails, a new secret setting is shown in errors and reviews."""

    def secrets(group: type[BaseModel]) -> Iterator[str]:
        for name, field in group.model_fields.items():
            inner = group_of(field.annotation)
            if inner is not None:
                yield from secrets(inner)
            elif SecretStr in (field.annotation, *getattr(field.annotation, "__args__", ())):
                yield field.alias or name

    named = {name for kind in table.KINDS.values() for name in secrets(kind.spec)}
    assert {"privateKey", "apiKey"} <= named
    assert all(report.is_secret([name]) for name in named)
    assert not report.is_secret(["model", "sha256"])
