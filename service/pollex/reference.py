"""The page of all settings, made from their types: `python -m pollex.reference > docs/reference/service.md`."""

from __future__ import annotations

import json
from typing import Any

from pydantic import BaseModel

from pollex import prompts
from pollex.settings import PREFIX, REFERENCE, Decoding, Settings
from pollex.words import Reason

TARGET = REFERENCE
"""Where the page is committed."""

_INTRO = f"""# Settings of the service

Made from `service/pollex/settings.py` by `python -m pollex.reference`. Each setting is a key of the YAML file
(`--config FILE`, or `{PREFIX}CONFIG`) or an environment variable: `{PREFIX}` and the key in capitals, which wins.
In a variable, lists are separated by commas and mappings are JSON; an empty one counts as unset.
All wrong settings are reported at once, and nothing is served until they are right.
"""
_DECODING = """
## Decoding options

    decoding:
      qwen2.5:1.5b-gpu: {temperature: 0, repeat_penalty: 1.0}
"""
_UPSTREAM = f"""
## A server of the OpenAI form

`llamacpp_url` is llama-server's address, or that of any server that answers `POST /v1/chat/completions` with a stream:
vLLM, SGLang, LM Studio, llama-swap and other multiplexers, or a provider in the Internet.

    llamacpp_url: https://models.example/v1     # with or without /v1; one with a version elsewhere stays as it is
    llamacpp_model: qwen2.5-7b-instruct         # what that server calls the model
    llamacpp_api_key: sk-…                      # better: {PREFIX}LLAMACPP_API_KEY; sent as Authorization: Bearer

What such a server lacks is done without. Without `/health` its list of models tells whether it is there; without
`/props` nobody knows how long a text may be, and the server itself refuses one that is too long; without `/tokenize`
tokens are estimated. `/props` and `/slots` are asked with `?model=`, as multiplexers want it. A request that is refused
because of fields that only llama-server knows is sent once more without them, and so are all after it. Thinking is
switched off in the template (`chat_template_kwargs`); a model that thinks all the same gets room for it, and its
thoughts are left out.

While a server answers `503 Loading model`, a request waits for as long as `request_timeout` allows, and is then
answered with 503 and `Retry-After`.

A server whose address is not in a private network never answers in the place of another model, unless `fallback` names
it. One with an `https://` address is reached through the proxy that `https_proxy` or `all_proxy` names, unless
`no_proxy` names the host; one with `http://` never is.
"""
_GATEWAY = """
## A gateway to several boards

Where `llamacpp_hold_seconds` is above 0, `llamacpp_url` is a proxy (HAProxy, say) that gives each request to one of
several llama-servers with the same model, one at a time to each; `slots` is then the number of boards.

    llamacpp_url: http://127.0.0.1:9100
    llamacpp_hold_seconds: 60
    slots: 3

- While no board answers (503, or nobody listens) a request is held and asked again after 0.5, 1, 2 and then every 4
  seconds, for so many seconds and within its own time. It keeps its slot, and those behind it their places. Where
  another model can answer, that one does at once.
- A board that breaks before its first word (502, 504, a connection that is cut) costs a request another try.
- What a board breaks off in mid-sentence another one continues: it is given the prompt and the tokens of what was shown
  (`/apply-template`, `/tokenize`, `/completion`; behind other servers than llama-server the request fails as it does
  without a gateway). What was shown is never taken back; what follows may differ from what the first would have said.
- A request that breaks five times is given up, so that a text that crashes llama-server does not take board after
  board.
- The gateway says in `X-Served-By` which board answers. Clients find it in the same header, all that had a part in the
  order in which they came (of a stream: those that were known at its beginning), and with `changes` as `boards` in the
  answer. `/metrics` counts `pollex_board_answers_total` and `pollex_board_breaks_total` by board.

A request with `"priority": "batch"` waits behind all for whom somebody waits, however late they come, whether there is
a gateway or not. A place in the queue can therefore grow.
"""
_PROMPTS = """
A prompt file is plain text: what the model is told. Below a line `---` it may give the form of the message in which
the text is sent, with `{text}` once. Below that, examples help a small model: each is a text below a line
`--- text` and its answer below a line `--- answer`.

```
You put text into plain words and answer with the plain text alone.
---
Rewrite this sentence in plain words:
{text}
--- text
The committee endeavours to facilitate participation.
--- answer
The committee tries to help everybody to take part.
```
"""
_JUDGED = """
## What becomes of a text

A model's answer is a proposal. The service compares it with the text word by word, and decides of each change whether
it is **taken** (part of the polished text), **offered** (shown, for the author to take) or **refused**. Where the
answer to a part is no version of it, that part is **kept** as it was. A client that asks for `changes` is told all of
them, with their kind and a reason.
"""
_KINDS = {
    "array": "list",
    "ipv4network": "network",
    "ipv6network": "network",
    "object": "mapping",
    "password": "secret text",
    "uri": "address",
}
_WORDS = {"string": "text", "integer": "whole number", "number": "number", "boolean": "true or false"}


def page() -> str:
    """The whole page as Markdown."""
    modes = [f"| `{mode}` | {title} |" for mode, title in prompts.TITLES.items()]
    reasons = [f"| `{reason}` | {reason.message} |" for reason in Reason]
    return "\n".join(
        [
            _INTRO,
            *_table(Settings),
            _DECODING,
            *_table(Decoding),
            _UPSTREAM,
            _GATEWAY,
            "## Modes\n\nWhat a request may ask for as `mode`; `modes` (`pollex:polish.modes`) adds your own.\n",
            *("| mode | what the text becomes |", "|---|---|", *modes),
            _PROMPTS,
            _JUDGED,
            *("| reason | what it means |", "|---|---|", *reasons),
            "",
        ]
    )


def _table(type_: type[BaseModel]) -> list[str]:
    schemas = type_.model_json_schema()["properties"]
    rows = [
        f"| `{name}` | {_kind(schemas[name])} | {_default(schemas[name])} | {field.description} |"
        for name, field in type_.model_fields.items()
    ]
    return ["| setting | type | default | what it is |", "|---|---|---|---|", *rows]


def _default(schema: dict[str, Any]) -> str:
    default = schema.get("default")
    return "" if default in (None, "", [], {}) else f"`{json.dumps(default)}`"


def _kind(schema: dict[str, Any]) -> str:
    """A setting's type in words, from its JSON schema."""
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(_kind(option) for option in schema["anyOf"] if option.get("type") != "null"))
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if (kind := schema.get("format", schema["type"])) in _KINDS:
        return _KINDS[kind] + (f" of {_kind(schema['items'])}s" if kind == "array" else "")
    bounds = {
        "at least": schema.get("minimum"),
        "above": schema.get("exclusiveMinimum"),
        "at most": schema.get("maximum"),
    }
    return ", ".join(
        [_WORDS[schema["type"]], *(f"{word} {value:g}" for word, value in bounds.items() if value is not None)]
    )


if __name__ == "__main__":
    print(page(), end="")
