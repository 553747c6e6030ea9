"""What is declared: typed, described values, checked once and all together.

`parse` turns the plain values of a stack file into a stack, or raises one `ConfigError` that lists every problem.
The descriptions of the settings are also the remedies in that report and the text of docs/reference/config.md.
"""

from infra.spec.dev import DevStack
from infra.spec.host import Build, Host, HostStack, Interpreter, Jump, LlamaServer, Model, Polish
from infra.spec.image import Image, ImageStack
from infra.spec.report import KINDS, ConfigError, Problem, Stack, group_of, parse
from infra.spec.source import Source
from infra.spec.values import NAMESPACE, REFERENCE

__all__ = [
    "KINDS",
    "NAMESPACE",
    "REFERENCE",
    "Build",
    "ConfigError",
    "DevStack",
    "Host",
    "HostStack",
    "Image",
    "ImageStack",
    "Interpreter",
    "Jump",
    "LlamaServer",
    "Model",
    "Polish",
    "Problem",
    "Source",
    "Stack",
    "group_of",
    "parse",
]
