"""Settings: where they come from, what is said about wrong ones, and that each is documented."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pollex import prompts, reference
from pollex.settings import Settings, SettingsError, load


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("POLLEX_")]:
        monkeypatch.delenv(name)


def test_the_originals_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If this fails, a configuration of the original program does not start this one."""
    prompt = tmp_path / "polish.txt"
    prompt.write_text("Polish.")
    file = tmp_path / "config.yaml"
    file.write_text(
        "port: 8091\nollama_url: http://localhost:11434\nclaude_api_key: sk\nclaude_model: claude-x\n"
        f"llamacpp_url: http://localhost:8080\nllamacpp_model: qwen2.5:1.5b-gpu\nprompt_path: {prompt}\napi_key: k\n"
    )
    monkeypatch.setenv("POLLEX_PORT", "8092")
    monkeypatch.setenv("POLLEX_LLAMACPP_MODEL", "")
    settings = load(file)
    assert settings.port == 8092
    assert settings.model_ids() == ["qwen2.5:1.5b-gpu", "claude-x", "qwen2.5:1.5b"]
    assert load(file, {"port": 1}).port == 1


def test_the_environment_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """If this fails, a container cannot be configured without a file."""
    monkeypatch.setenv("POLLEX_LLAMACPP_URL", "http://localhost:8080")
    monkeypatch.setenv("POLLEX_TRUSTED_PROXIES", "10.0.0.0/8, fd00::/8")
    monkeypatch.setenv("POLLEX_DECODING", '{"llama.cpp": {"top_k": 1}}')
    settings = load()
    assert [str(network) for network in settings.trusted_proxies] == ["10.0.0.0/8", "fd00::/8"]
    assert settings.decoding["llama.cpp"].top_k == 1


def test_all_problems_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If this fails, somebody mends a configuration one start at a time, or reads a secret in the log."""
    file = tmp_path / "config.yaml"
    file.write_text(
        "port: 99999\nlamacpp_url: x\nllamacpp_url: localhost\napi_key: [topsecret]\ndecoding: {a: {heat: 1}}\n"
    )
    monkeypatch.setenv("POLLEX_SLOTS", "none")
    with pytest.raises(SettingsError) as raised:
        load(file)
    message = str(raised.value)
    assert "6 problems" in message
    assert f"  port: 99999: input should be less than or equal to 65535; set it in {file}" in message
    assert f"  lamacpp_url: is no setting (did you mean llamacpp_url?); remove it from {file}" in message
    assert '  slots: "none": ' in message
    assert "set it in POLLEX_SLOTS" in message
    assert "decoding.a.heat" in message
    assert "topsecret" not in message


def test_a_misspelt_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    """If this fails, a setting that somebody made in the environment has no effect, and nothing says so."""
    monkeypatch.setenv("POLLEX_MOCK", "true")
    monkeypatch.setenv("POLLEX_LLAMACP_URL", "http://board:8080")
    monkeypatch.setenv("POLLEX_APIKEY", "topsecret")
    with pytest.raises(SettingsError) as raised:
        load()
    message = str(raised.value)
    assert "llamacp_url: is no setting (did you mean llamacpp_url?); remove it from POLLEX_LLAMACP_URL" in message
    assert "apikey: is no setting (did you mean api_key?)" in message
    assert "topsecret" not in message


def test_variables_that_others_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """If this fails, the service does not start in a cluster, or beside a command line that was set up."""
    monkeypatch.setenv("POLLEX_MOCK", "true")
    for name, value in {
        "URL": "http://board:8090",
        "MODEL": "small",
        "CONFIG": "",
        "SERVICE_HOST": "10.0.0.1",
        "SERVICE_PORT_HTTP": "8090",
        "PORT": "tcp://10.0.0.1:8090",
        "PORT_8090_TCP_ADDR": "10.0.0.1",
        "LLAMA_SERVER_PORT": "tcp://10.0.0.2:8080",
    }.items():
        monkeypatch.setenv(f"POLLEX_{name}", value)
    assert load().port == 8090


@pytest.mark.parametrize("key", ["two\nlines", "schlüssel"])
def test_keys_that_cannot_be_sent(key: str) -> None:
    """If this fails, a key fails with every text instead of at the start, or is shown."""
    for name in ("llamacpp_api_key", "claude_api_key"):
        with pytest.raises(SettingsError, match=rf"{name}: \*\*\*: must be letters") as raised:
            load(None, {"mock": True, name: key})
        assert key not in str(raised.value)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({}, "no upstream is configured"),
        (
            {"llamacpp_url": "http://a", "ollama_url": "http://b", "llamacpp_model": "qwen2.5:1.5b"},
            "id of two upstreams",
        ),
        ({"llamacpp_url": "http://a", "fallback": {"llama.cpp": ["gpt"]}}, "fallback: names 'gpt'"),
        ({"llamacpp_url": "http://a", "decoding": {"gpt": {}}}, "decoding: names 'gpt'"),
        ({"mock": True, "prompt_path": "/nowhere"}, "prompt_path: '/nowhere' cannot be read"),
    ],
)
def test_what_does_not_go_together(values: dict[str, object], words: str) -> None:
    """If this fails, a service starts that cannot do what was declared."""
    with pytest.raises(SettingsError, match=words):
        load(None, values)


@pytest.mark.parametrize("content", ["- a list", "port: [", "\tport: 1"])
def test_files_that_are_no_settings(tmp_path: Path, content: str) -> None:
    """If this fails, a damaged file ends in a stack trace."""
    (tmp_path / "config.yaml").write_text(content)
    with pytest.raises(SettingsError, match=r"config\.yaml"):
        load(tmp_path / "config.yaml")


def test_secrets_are_not_printed() -> None:
    """If this fails, a key stands in a log."""
    assert "topsecret" not in repr(load(None, {"mock": True, "api_key": "topsecret", "claude_api_key": "topsecret"}))


def test_the_reference_is_current() -> None:
    """If this fails, docs/reference/service.md lacks a setting or says what is not so."""
    assert reference.page() == (Path(__file__).parents[2] / reference.TARGET).read_text()


def test_every_setting_is_described() -> None:
    """If this fails, there is a setting that nobody can know how to use."""
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []


@pytest.mark.parametrize("name", prompts.SHIPPED)
def test_shipped_prompts(name: str) -> None:
    """If this fails, the service starts without anything to tell the model."""
    prompt = prompts.load(name)
    assert prompt.system
    assert "{text}" not in prompt.user("teh")
    assert prompt.user("teh").endswith("teh")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "is empty"),
        ("System.\n---\nno place", "exactly once"),
        ("System.\n--- text\nTeh\n", "take turns"),
        ("System.\n--- answer\nThe\n--- text\nTeh", "take turns"),
        ("System.\n--- text\nTeh\n--- answer\n", "an empty text or answer"),
    ],
)
def test_prompts_that_are_none(tmp_path: Path, content: str, words: str) -> None:
    """If this fails, a model polishes without a prompt, or without the text."""
    (tmp_path / "p").write_text(content)
    with pytest.raises(prompts.PromptError, match=words):
        prompts.load(str(tmp_path / "p"))


def test_examples_are_earlier_turns(tmp_path: Path) -> None:
    """If this fails, a small model is told what to do and not shown it, or takes the example for the text."""
    (tmp_path / "p").write_text(
        "Mend it.\n---\nText:\n{text}\n--- text\nTeh cat.\n--- answer\nThe cat.\n--- text\nA dog.\n--- answer\nA dog.\n"
    )
    prompt = prompts.load(str(tmp_path / "p"))
    assert prompt.system == "Mend it."
    assert [(turn["role"], turn["content"]) for turn in prompt.turns("teh")] == [
        ("user", "Text:\nTeh cat."),
        ("assistant", "The cat."),
        ("user", "Text:\nA dog."),
        ("assistant", "A dog."),
        ("user", "Text:\nteh"),
    ]
