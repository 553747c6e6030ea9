"""The service's settings: a YAML file and the environment, which wins. All errors are reported at once."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import (
    AfterValidator,
    AnyHttpUrl,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
)

from pollex import keys, prompts
from pollex.target import PORT
from pollex.words import MODES

PREFIX = "POLLEX_"
REFERENCE = "docs/reference/service.md"

MOCK = "mock"
"""Id of the model that development uses."""


_OTHERS = frozenset(
    {"CONFIG", "URL", "MODEL", "MODE", "CACHE", "CHROMIUM", "JFLEG", "OFFICIAL_COMMAND", "SOURCE_MIRROR"}
)
"""Variables of the command line and of the project's own tools, which share the prefix."""
_INJECTED = re.compile(r"(?:\w+_)?(?:SERVICE_HOST|SERVICE_PORT(?:_\w+)?|PORT(?:_\d+_(?:TCP|UDP|SCTP)(?:_\w+)?)?)")
"""What a kubelet, and Docker with links, put into every container for a service whose name begins with `pollex`."""
_LINK = re.compile(r"(?:tcp|udp|sctp)://")


class SettingsError(Exception):
    """The settings are wrong; the message lists every problem with its remedy."""


def _from_text(value: object) -> object:
    """A mapping as JSON, which is how the environment can give one."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError as error:
        raise ValueError(f"is not JSON ({error})") from error


def _from_list(value: object) -> object:
    """A list as `a, b`, which is how the environment can give one."""
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def _url(value: object) -> object:
    """An empty address is no address, as in the original configuration."""
    return None if value == "" else value


def _sendable(value: SecretStr) -> SecretStr:
    """A key that an HTTP header can carry, without the line end that files have."""
    key = value.get_secret_value().strip()
    if not (key.isascii() and key.isprintable()):
        raise ValueError("must be letters, digits and signs of ASCII")
    return SecretStr(key)


Url = Annotated[AnyHttpUrl | None, BeforeValidator(_url)]
Seconds = Annotated[float, Field(gt=0, le=3600)]


class Decoding(BaseModel):
    """How a model chooses its words. What is not set is left to the upstream."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    temperature: Annotated[float, Field(ge=0, le=2, description="0 always takes the likeliest word.")] = 0.0
    top_p: Annotated[float | None, Field(gt=0, le=1, description="Nucleus sampling.")] = None
    top_k: Annotated[int | None, Field(ge=0, description="How many candidates are looked at.")] = None
    min_p: Annotated[float | None, Field(ge=0, le=1, description="Least share of the likeliest word's chance.")] = None
    repeat_penalty: Annotated[float | None, Field(gt=0, le=2, description="Above 1 repeats less.")] = None
    seed: Annotated[int | None, Field(ge=0, description="For temperatures above 0.")] = None
    max_tokens: Annotated[
        int | None, Field(ge=1, description="Length limit of an answer. Unset: what a polished text can need.")
    ] = None


class Settings(BaseModel):
    """Everything that can be set."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)

    host: Annotated[str, Field(min_length=1, description="Address to listen on.")] = "0.0.0.0"  # noqa: S104 - as the original
    port: Annotated[int, Field(ge=1, le=65535, description="Port to listen on.")] = PORT

    llamacpp_url: Annotated[
        Url,
        Field(
            description="llama-server, or another server that speaks the OpenAI form, with or without `/v1`. "
            "Empty: not used."
        ),
    ] = None
    llamacpp_model: Annotated[
        str,
        Field(
            description="Id under which clients ask for llama-server's model, and that it is asked for. "
            "Empty: `llama.cpp`."
        ),
    ] = ""
    llamacpp_api_key: Annotated[
        SecretStr,
        AfterValidator(_sendable),
        Field(description="Key that this server wants as `Authorization: Bearer`. Empty: none."),
    ] = SecretStr("")
    llamacpp_probabilities: Annotated[
        int,
        Field(
            ge=0,
            le=20,
            description="How many words of its own the model weighs against each that it writes. 0: it is not asked.",
        ),
    ] = 0
    llamacpp_timeout: Annotated[Seconds, Field(description="Seconds for one answer of llama-server.")] = 120
    llamacpp_hold_seconds: Annotated[
        float,
        Field(
            ge=0,
            le=3600,
            description="Above 0, `llamacpp_url` is a gateway to several boards: for so many seconds a request is held "
            "and asked again while none of them answers (below). 0: it is one server.",
        ),
    ] = 0
    ollama_url: Annotated[Url, Field(description="Ollama. Empty: not used.")] = None
    ollama_model: Annotated[str, Field(min_length=1, description="Ollama's name of the model.")] = "qwen2.5:1.5b"
    ollama_timeout: Annotated[Seconds, Field(description="Seconds for one answer of Ollama.")] = 60
    claude_api_key: Annotated[
        SecretStr, AfterValidator(_sendable), Field(description="Key of the Anthropic API. Empty: not used.")
    ] = SecretStr("")
    claude_model: Annotated[str, Field(min_length=1, description="Model of the Anthropic API.")] = (
        "claude-sonnet-4-5-20250929"
    )
    claude_url: Annotated[AnyHttpUrl, Field(description="The Anthropic API.")] = AnyHttpUrl("https://api.anthropic.com")
    claude_timeout: Annotated[Seconds, Field(description="Seconds for one answer of the Anthropic API.")] = 60
    mock: Annotated[
        bool, Field(description="Serve only the model `mock`, which mends a fixed list of words, for development.")
    ] = False
    mock_delay_ms: Annotated[int, Field(ge=0, description="Milliseconds that `mock` takes for a word.")] = 0

    fallback: Annotated[
        dict[str, list[str]],
        BeforeValidator(_from_text),
        Field(
            description="Model id → ids to try in order when it is down. A model that is not named falls back to the "
            "ones on your own machines (llama-server, Ollama), never to Claude nor to a llamacpp_url in the Internet."
        ),
    ] = {}
    decoding: Annotated[
        dict[str, Decoding],
        BeforeValidator(_from_text),
        Field(description="Model id → decoding options (below)."),
    ] = {}
    prompt_path: Annotated[
        str,
        Field(
            min_length=1,
            description="What the model is told in the mode `polish`: a text file, or the name of a shipped prompt "
            f"({', '.join(f'`{name}`' for name in prompts.SHIPPED)}). With one that ends in `-small` the other modes "
            "use those for small models too.",
        ),
    ] = "polish"
    modes: Annotated[
        dict[Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,31}$")], str],
        BeforeValidator(_from_text),
        Field(
            description="Modes of your own: name → text file with what the model is told. One with the name of a "
            f"shipped mode ({', '.join(f'`{mode}`' for mode in prompts.TITLES)}) takes its place."
        ),
    ] = {}

    slots: Annotated[int, Field(ge=1, le=64, description="Requests that an upstream works on at once.")] = 1
    queue_length: Annotated[int, Field(ge=0, le=10_000, description="Requests that may wait for an upstream.")] = 16
    request_timeout: Annotated[Seconds, Field(description="Seconds for a request, waiting included.")] = 120
    connect_timeout: Annotated[Seconds, Field(description="Seconds to reach an upstream or learn its health.")] = 2
    probe_seconds: Annotated[Seconds, Field(description="Seconds between two looks at each upstream.")] = 5
    breaker_failures: Annotated[
        int, Field(ge=1, description="Failures in a row after which an upstream is left alone for a while.")
    ] = 3
    breaker_seconds: Annotated[Seconds, Field(description="Seconds that it is then left alone.")] = 15
    shutdown_timeout: Annotated[Seconds, Field(description="Seconds that running requests get when it stops.")] = 60

    max_chars: Annotated[
        int,
        Field(
            ge=1,
            le=60_000,
            description="Characters of a text. What `request_timeout` leaves no time for comes back as it was; the log "
            "says at the start how many characters a second this needs, and once the pace is measured, what would fit.",
        ),
    ] = 10_000
    split_chars: Annotated[
        int,
        Field(
            ge=0,
            description="Longer texts are polished in parts of at most this many characters, cut between paragraphs, "
            "else sentences. 0: whole.",
        ),
    ] = 2_000
    api_key: Annotated[SecretStr, Field(description="Key that clients send as `X-API-Key`. Empty: none needed.")] = (
        SecretStr("")
    )
    api_keys: Annotated[
        dict[Annotated[str, Field(pattern=keys.NAME)], Annotated[str, Field(pattern=keys.HASH)]],
        BeforeValidator(_from_text),
        Field(
            description="Keys of people: name → `sha256:…`, as `pollex key new NAME` makes both. Log and metrics name "
            "the person. Without its line a key is good for nothing."
        ),
    ] = {}
    key_rate_limit: Annotated[
        int, Field(ge=0, description="Requests a minute with one key to one path, /v2/check as well. 0: no limit.")
    ] = 0
    rate_limit: Annotated[
        int, Field(ge=0, description="Requests a minute of one client to one path of /api, without a key. 0: no limit.")
    ] = 10
    check_model: Annotated[
        str, Field(description="Model that checks for LanguageTool's clients. Empty: the first that is configured.")
    ] = ""
    check_mode: Annotated[str, Field(description="Mode in which it does; the ones above, and your own.")] = "correct"
    check_seconds: Annotated[
        Seconds,
        Field(
            description="Seconds after which LanguageTool's clients are told what is known; the rest comes with their "
            "next request. LibreOffice waits for 10 s."
        ),
    ] = 8
    check_max_chars: Annotated[
        int, Field(ge=1, le=100_000, description="Characters of a text of LanguageTool's clients.")
    ] = 40_000
    check_cache_chars: Annotated[
        int,
        Field(ge=0, description="Characters of checked paragraphs that are remembered, in memory alone. 0: none."),
    ] = 1_000_000
    check_rate_limit: Annotated[
        int, Field(ge=0, description="Requests a minute of one client to /v2/check, without a key. 0: no limit.")
    ] = 120
    max_connections: Annotated[
        int,
        Field(
            ge=2,
            le=10_000,
            description="Connections at once; half of them from one address that is not a trusted proxy's. Others get "
            "503.",
        ),
    ] = 400
    receive_seconds: Annotated[
        Seconds, Field(description="Seconds in which a request, head and body, has to be here; 408 after that.")
    ] = 30
    send_seconds: Annotated[
        Seconds, Field(description="Seconds for which an answer may lie unread before its connection is cut.")
    ] = 60
    trusted_proxies: Annotated[
        list[IPv4Network | IPv6Network],
        BeforeValidator(_from_list),
        Field(description="Networks of the proxies whose `Cf-Connecting-Ip` and `X-Forwarded-For` are believed."),
    ] = []
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"], Field(description="Least level that is logged.")
    ] = "info"

    @property
    def llamacpp_id(self) -> str:
        """The id of llama-server's model."""
        return self.llamacpp_model or "llama.cpp"

    def model_ids(self) -> list[str]:
        """Ids of the models that are configured, in the order in which they are offered."""
        if self.mock:
            return [MOCK]
        offered = (
            (self.llamacpp_url is not None, self.llamacpp_id),
            (bool(self.claude_api_key.get_secret_value()), self.claude_model),
            (self.ollama_url is not None, self.ollama_model),
        )
        return [model for configured, model in offered if configured]


def load(path: Path | None = None, overrides: Mapping[str, object] | None = None) -> Settings:
    """The settings from a YAML file (also named by POLLEX_CONFIG), the environment, and a caller's own, which win.

    Raises:
        SettingsError: naming every problem.
    """
    if path is None and (named := os.environ.get(f"{PREFIX}CONFIG")):
        path = Path(named)
    values = _read(path) if path is not None else {}
    sources = dict.fromkeys(values, str(path))
    for variable, value in _variables().items():
        name = variable.removeprefix(PREFIX).lower()
        values[name] = value
        sources[name] = variable
    values |= overrides or {}
    settings, wrong = _checked(values)
    if settings is None or wrong:
        count = "1 problem" if len(wrong) == 1 else f"{len(wrong)} problems"
        lines = [f"  {problem}{_remedy(problem, sources)}" for problem in wrong]
        raise SettingsError("\n".join([f"the settings have {count} (all settings: {REFERENCE})", *lines]))
    return settings


def _variables() -> dict[str, str]:
    """The variables of the environment that are settings, or are none and were meant as some."""
    meant = {}
    for variable, value in sorted(os.environ.items()):
        name = variable.removeprefix(PREFIX)
        # An empty variable is an unset one, as in the original configuration.
        if name == variable or name in _OTHERS or not value:
            continue
        if _INJECTED.fullmatch(name) and (name.lower() not in Settings.model_fields or _LINK.match(value)):
            continue
        meant[variable] = value
    return meant


class Problem(NamedTuple):
    """What is wrong with a setting."""

    key: str
    text: str
    known: bool = True
    """Whether there is such a setting."""
    alone: bool = True
    """Whether it is wrong by itself, and not together with others."""

    def __str__(self) -> str:
        return f"{self.key}: {self.text}"


def problems(values: Mapping[str, object]) -> list[Problem]:
    """Everything that a service with these settings, and no environment, would refuse at its start."""
    return _checked(values)[1]


def _checked(values: Mapping[str, object]) -> tuple[Settings | None, list[Problem]]:
    try:
        settings = Settings.model_validate(values)
    except ValidationError as error:
        return None, [_problem(dict(details)) for details in error.errors(include_url=False)]
    return settings, _relations(settings)


def _remedy(problem: Problem, sources: Mapping[str, str]) -> str:
    name = problem.key.partition(".")[0]
    if not problem.alone:
        return ""
    if not problem.known:
        return f"; remove it from {sources.get(name, 'the settings')}"
    return f"; set it in {sources.get(name, 'the call')}"


def _read(path: Path) -> dict[str, Any]:
    import yaml  # noqa: PLC0415 - most starts in a container have no file

    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise SettingsError(f"{path} cannot be read: {error}") from error
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise SettingsError(f"{path} must hold lines of the form `key: value`, it holds a {type(content).__name__}")
    return {str(key): value for key, value in content.items()}


_SECRETS = {name for name, field in Settings.model_fields.items() if field.annotation is SecretStr} | {"api_keys"}
"""What is not shown where it is wrong; the key itself may stand where its hash should."""


def _problem(error: dict[str, Any]) -> Problem:
    """One error: key, value, and what would be right."""
    location = [str(part) for part in error["loc"]]
    name = location[0] if location else ""
    key = ".".join(location)
    if error["type"] == "extra_forbidden":
        return Problem(key, f"is no setting{_meant(name)}", known=False)
    value = "***" if name in _SECRETS else json.dumps(error["input"], default=str)
    message = str(error["msg"]).removeprefix("Value error, ")
    message = message[:1].lower() + message[1:]
    return Problem(key, f"{value}: {message}")


def _meant(name: str) -> str:
    import difflib  # noqa: PLC0415 - only on the way out

    close = difflib.get_close_matches(name, Settings.model_fields, 1)
    return f" (did you mean {close[0]}?)" if close else ""


def _relations(settings: Settings) -> list[Problem]:
    """Problems between settings that are each right by themselves."""
    models = settings.model_ids()
    found = []
    if not models:
        found.append(_joint("llamacpp_url", "no upstream is configured; set it, or ollama_url, claude_api_key or mock"))
    found += [
        _joint("llamacpp_model", f"{model!r} is the id of two upstreams; give each its own")
        for model in sorted({model for model in models if models.count(model) > 1})
    ]
    modes = {*MODES, *settings.modes}
    if settings.check_mode not in modes:
        found.append(
            _joint("check_mode", f"{settings.check_mode!r} is no mode (these are: {', '.join(sorted(modes))})")
        )
    if settings.mock:
        return found + _prompt(settings)
    named = {"decoding": [*settings.decoding], "fallback": [*settings.fallback]}
    named["check_model"] = [settings.check_model] if settings.check_model else []
    named["fallback"] += [model for tried in settings.fallback.values() for model in tried]
    for key, ids in named.items():
        found += [
            _joint(key, f"names {model!r}, which is no configured model (these are: {', '.join(models) or 'none'})")
            for model in dict.fromkeys(ids)
            if model not in models
        ]
    return found + _prompt(settings)


def _joint(key: str, text: str) -> Problem:
    return Problem(key, text, alone=False)


def _prompt(settings: Settings) -> list[Problem]:
    named = [("prompt_path", settings.prompt_path)]
    named += [(f"modes.{mode}", name) for mode, name in settings.modes.items()]
    wrong = []
    for key, name in named:
        try:
            prompts.load(name)
        except prompts.PromptError as error:
            wrong.append(_joint(key, f"{name!r} {error}"))
    return wrong
