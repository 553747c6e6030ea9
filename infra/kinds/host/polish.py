"""The polish service on a host: what it says of its settings before a host is contacted, its bundle and its unit."""

from __future__ import annotations

from collections.abc import Mapping

from infra import FILES
from infra.core import bundle
from infra.core.addresses import local_url
from infra.core.bundle import Recipe
from infra.core.derivation import Derivation
from infra.core.report import ConfigError, Problem, is_secret
from infra.kinds.host import units
from infra.kinds.host.generation import File, Unit
from infra.kinds.host.spec import Polish
from pollex import prompts, settings

_PROMPT = "pollex:polish.prompt"
_MODES = "pollex:polish.modes"
_STACK = "the stack"
"""What the report names, as only the engine knows the stack's file."""


def own_prompt(polish: Polish) -> str | None:
    """The text of the stack's own prompt, or None where the service brings the one that is named.

    Raises:
        ConfigError: the file cannot be read, or is no prompt.
    """
    return _own({_PROMPT: polish.prompt}).get(_PROMPT)


def own_modes(polish: Polish) -> dict[str, str]:
    """The texts of the modes of the stack's own; those that name a shipped prompt need none.

    Raises:
        ConfigError: files cannot be read, or are no prompts.
    """
    keys = {mode: f"{_MODES}.{mode}" for mode in polish.modes}
    texts = _own({keys[mode]: file for mode, file in polish.modes.items()})
    return {mode: texts[key] for mode, key in keys.items() if key in texts}


def _own(files: Mapping[str, str]) -> dict[str, str]:
    """The texts of prompt files, by the setting that names each; all that are wrong are reported at once."""
    texts, wrong = dict[str, str](), list[Problem]()
    for key, name in files.items():
        if name in prompts.SHIPPED:
            continue
        file = FILES / name
        try:
            prompts.load(str(file))
        except prompts.PromptError as error:
            wrong.append(Problem(key, name, str(error)))
        else:
            text = file.read_text(encoding="utf-8")
            texts[key] = text if text.endswith("\n") else f"{text}\n"
    if wrong:
        raise ConfigError(_STACK, wrong)
    return texts


def check(asked: Mapping[str, object], polish: Polish) -> None:
    """Let the service check the settings that it will be given.

    Args:
        asked: what it is told of the server that it asks.
        polish: what is declared of it.

    Raises:
        ConfigError: everything that it would refuse at its start.
    """
    given = units.pollex_settings(asked, polish, prompt=prompts.SHIPPED[0], modes={})
    refused = settings.problems({**given, "claude_api_key": "set" if polish.claude_api_key is not None else ""})
    if refused:
        raise ConfigError(_STACK, [_refused(problem) for problem in refused])


def _refused(problem: settings.Problem) -> Problem:
    """What the service says, without the value where that is a secret by its name."""
    secret = is_secret(problem.key.split("."))
    return Problem(f"pollex:polish.settings.{problem.key}", "refused", "is wrong" if secret else problem.text)


def recipe(architecture: str, polish: Polish) -> Recipe:
    """What is packed of the polish service, and for which architecture."""
    python = polish.python
    return Recipe(
        architecture=architecture,
        python=python.version,
        interpreter=python.sha256,
        urls=(python.url, *python.mirrors) if python.url is not None else (),
    )


def unit(
    asked: Mapping[str, object],
    polish: Polish,
    packed: Derivation,
    prompt: str | None,
    modes: Mapping[str, str],
    *,
    behind: str = units.LLAMA_SERVER_UNIT,
    health: str = "/readyz",
) -> Unit:
    """The polish service as a unit.

    Args:
        asked: what it is told of the server that it asks.
        polish: what is declared of it.
        packed: its bundle.
        prompt: the text of the stack's own prompt, or None where a shipped one is named.
        modes: the texts of the modes of the stack's own.
        behind: the unit that it asks.
        health: the path that says that it does its work; `/readyz` means that an upstream has generated something.
    """
    settings = units.pollex_settings(
        asked,
        polish,
        prompt=polish.prompt if prompt is None else units.PROMPT,
        modes={mode: units.MODE.format(mode) if mode in modes else name for mode, name in polish.modes.items()},
    )
    secrets = units.secrets_env(polish)
    return Unit(
        name=units.POLLEX_UNIT,
        text=units.pollex_unit(polish, behind),
        links={units.POLLEX: f"{packed.path}/bin/{bundle.COMMAND}"},
        needs=(packed,),
        health=f"{local_url(polish.host, polish.port)}{health}",
        completion=None,
        ready_seconds=polish.ready_seconds,
        files=(
            File(path=units.SETTINGS, text=units.pollex_yaml(settings)),
            *((File(path=units.PROMPT, text=prompt),) if prompt is not None else ()),
            *(File(path=units.MODE.format(mode), text=text) for mode, text in modes.items()),
            *((File(path=units.SECRETS, text=secrets, secret=True),) if secrets is not None else ()),
        ),
    )
