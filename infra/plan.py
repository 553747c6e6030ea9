"""From the spec to everything that will exist: derivations, sheets, the generation and its live map. Pure."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from infra import HOST_FOLDER, patches, render, sheet, store
from infra.patches import Patch
from infra.profiles import PROFILES, SPARSE
from infra.spec import HostStack
from infra.store import Derivation


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Everything that a host stack makes exist, as text; nothing here was contacted or read."""

    build: Derivation
    build_sheet: str
    model: Derivation
    model_sheet: str
    generation: str
    """The generation's id, 32 hex digits."""
    generation_sheet: str
    live: dict[str, str]
    """What the host looks like when the generation is in force, item by item (docs/design.md, live map)."""
    files: dict[str, str]
    """Every generated file by its name on the host."""
    app_config: dict[str, str | int]


def build_derivation(stack: HostStack, series: Sequence[Patch], script: str) -> Derivation:
    """llama-server as a derivation.

    Args:
        stack: what is declared.
        series: the patches of the profile, in order.
        script: the text of the build scripts, which decides bytes too.
    """
    return Derivation(
        "llama-server",
        {
            "source": {"commit": stack.source.commit, "tree": stack.source.tree, "number": stack.source.number},
            "patches": [{"name": patch.name, "sha256": patch.sha256} for patch in series],
            # an interrupted build goes on with the folders that it has
            "folders": list(SPARSE),
            "script": store.sha256(script),
            "flags": list(flags(stack)),
            "target": "llama-server",
            "architecture": stack.host.architecture,
            "toolchain": PROFILES[stack.build.profile].toolchain,
        },
    )


def model_derivation(stack: HostStack) -> Derivation:
    """The model file as a derivation: its bytes are its identity, its name is part of the path."""
    return Derivation("model", {"sha256": stack.model.sha256, "file": stack.model.file})


BUILD_SCRIPTS = ("source.sh", "build.sh", "same-paths.cmake", "store.sh")
"""What of infra/host decides the bytes of a build."""


def load(stack: HostStack) -> Plan:
    """The plan with the project's own patches and build scripts.

    Raises:
        patches.PatchError: the series of the profile is wrong.
    """
    series = patches.load(PROFILES[stack.build.profile].series, tag=stack.source.tag)
    return make(stack, series, "".join((HOST_FOLDER / name).read_text() for name in BUILD_SCRIPTS))


def files(stack: HostStack) -> dict[str, str]:
    """Every text that the stack generates by name, its keys among them.

    Raises:
        patches.PatchError: the series of the profile is wrong.
    """
    made = load(stack)
    keys = {"llama-server": made.build.key, "model": made.model.key, "generation": made.generation}
    return {
        **made.files,
        "build.sheet": made.build_sheet,
        "model.sheet": made.model_sheet,
        "generation.sheet": made.generation_sheet,
        "appConfig.json": json.dumps(made.app_config, indent=2) + "\n",
        "keys.json": json.dumps(keys, indent=2) + "\n",
    }


def make(stack: HostStack, series: Sequence[Patch], script: str) -> Plan:
    """The whole plan of a host stack; arguments as for `build_derivation`."""
    build, model = build_derivation(stack, series, script), model_derivation(stack)
    units = {render.LLAMA_SERVER_UNIT: render.llama_server_unit(stack.server, stack.model, stack.build)}
    links = {
        render.LLAMA_SERVER: f"{build.path}/bin/llama-server",
        stack.model.path: f"{model.path}/{stack.model.file}",
    }
    needs = {render.LLAMA_SERVER_UNIT: (build, model)}
    url = render.local_url(stack.server)
    gates = {render.LLAMA_SERVER_UNIT: (f"{url}/health", f"{url}/v1/chat/completions", str(stack.server.ready_seconds))}
    content = {
        **{f"units/{name}": text for name, text in units.items()},
        "links": "".join(f"{path}\t{target}\n" for path, target in links.items()),
        "needs": "".join(f"{unit}\t{need.path}\n" for unit, wanted in needs.items() for need in wanted),
        "gates": "".join("\t".join([unit, *gate]) + "\n" for unit, gate in gates.items()),
    }
    generation = Derivation("generation", dict(content)).key
    return Plan(
        build=build,
        build_sheet=_build_sheet(stack, build, series),
        model=model,
        model_sheet=_model_sheet(stack, model),
        generation=generation,
        generation_sheet=sheet.render({"env": sheet.env({"kind": "generation", "id": generation}), **content}),
        live={
            "generation": generation,
            **{f"unit {name}": store.sha256(text) for name, text in units.items()},
            **{f"service {name}": "active" for name in units},
            **{f"link {path}": target for path, target in links.items()},
            **{f"store {need.item}": "intact" for need in (build, model)},
        },
        files=units,
        app_config=render.app_config(stack.server, stack.model),
    )


def _build_sheet(stack: HostStack, build: Derivation, series: Sequence[Patch]) -> str:
    return sheet.render(
        {
            "env": sheet.env(
                {
                    "kind": "build",
                    "name": build.name,
                    "key": build.key,
                    "commit": stack.source.commit,
                    "tree": stack.source.tree,
                    "number": stack.source.number,
                    "mirrors": stack.source.mirrors,
                    "target": "llama-server",
                    "flags": flags(stack),
                    "packages": packages(stack),
                    "jobs": stack.build.jobs,
                    "sparse": SPARSE,
                    "substituters": stack.substituters,
                }
            ),
            "series": "".join(f"{patch.name}\n" for patch in series),
            **{f"patches/{patch.name}": patch.text for patch in series},
        }
    )


def _model_sheet(stack: HostStack, model: Derivation) -> str:
    return sheet.render(
        {
            "env": sheet.env(
                {
                    "kind": "model",
                    "name": model.name,
                    "key": model.key,
                    "file": stack.model.file,
                    "size": stack.model.size,
                    "sha256": stack.model.sha256,
                    "mirrors": [stack.model.url, *stack.model.mirrors],
                    "adopt": stack.model.path,
                }
            )
        }
    )


def flags(stack: HostStack) -> tuple[str, ...]:
    """The CMake arguments of the build: the profile's, then the stack's own."""
    return (*PROFILES[stack.build.profile].flags, *stack.build.flags)


def packages(stack: HostStack) -> tuple[str, ...]:
    """The apt packages of the build: the stack's own list, or the profile's."""
    own = stack.build.packages
    return own if own is not None else PROFILES[stack.build.profile].packages
