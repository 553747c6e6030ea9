"""What the polish service itself says of what it is given: its settings are checked before a host is contacted."""

from __future__ import annotations

from infra import FILES
from infra.core.report import ConfigError, Problem, is_secret
from infra.kinds.host import units
from infra.kinds.host.spec import HostStack, Polish
from pollex import prompts, settings

_PROMPT = "pollex:polish.prompt"
_STACK = "the stack"
"""What the report names, as only the engine knows the stack's file."""


def own_prompt(polish: Polish) -> str | None:
    """The text of the stack's own prompt, or None where the service brings the one that is named.

    Raises:
        ConfigError: the file cannot be read, or is no prompt.
    """
    if polish.prompt in prompts.SHIPPED:
        return None
    file = FILES / polish.prompt
    try:
        prompts.load(str(file))
    except prompts.PromptError as error:
        raise ConfigError(_STACK, [Problem(_PROMPT, polish.prompt, str(error))]) from None
    text = file.read_text(encoding="utf-8")
    return text if text.endswith("\n") else f"{text}\n"


def check(stack: HostStack, polish: Polish) -> None:
    """Let the service check the settings that it will be given.

    Raises:
        ConfigError: everything that it would refuse at its start.
    """
    given = units.pollex_settings(stack, polish, prompt=prompts.SHIPPED[0])
    refused = settings.problems({**given, "claude_api_key": "set" if polish.claude_api_key is not None else ""})
    if refused:
        raise ConfigError(_STACK, [_refused(problem) for problem in refused])


def _refused(problem: settings.Problem) -> Problem:
    """What the service says, without the value where that is a secret by its name."""
    secret = is_secret(problem.key.split("."))
    return Problem(f"pollex:polish.settings.{problem.key}", "refused", "is wrong" if secret else problem.text)
