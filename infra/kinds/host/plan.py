"""From the spec to everything that will exist: derivations, manifests, the generation and its live map. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from infra import HOST_FOLDER
from infra.core import bundle, patches
from infra.core.addresses import local_url
from infra.core.bundle import Recipe
from infra.core.derivation import Derivation
from infra.core.patches import Patch
from infra.core.profiles import PROFILES
from infra.hosttools.pollex_host import manifest
from infra.kinds.host import polish, sbom, units, weights
from infra.kinds.host.compilation import RECIPE, SERVER, Compilation
from infra.kinds.host.generation import File, Generation, Unit, generation
from infra.kinds.host.spec import HostStack, told


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Everything that a host stack makes exist, as text; nothing here was contacted."""

    build: Derivation
    build_manifest: manifest.Build
    model: Derivation
    model_manifest: manifest.Model | manifest.Quantised
    bundle: Derivation | None
    """The polish service, if there is one."""
    bundle_manifest: manifest.Bundle | None
    recipe: Recipe | None
    """How the bundle is packed."""
    generation: Generation
    files: dict[str, str]
    """Every generated file by its name on the host; secret ones are left out."""
    app_config: dict[str, str | int]


def load(stack: HostStack) -> Plan:
    """The plan with the project's own patches, build scripts, service and prompt.

    Raises:
        patches.PatchError: the series of the profile is wrong.
        ConfigError: the prompt cannot be read, or the service refuses its settings.
    """
    series = patches.load(PROFILES[stack.build.profile].series, tag=stack.source.tag)
    build_recipe = "".join((HOST_FOLDER / name).read_text() for name in RECIPE)
    if stack.polish is None:
        return make(stack, series, build_recipe)
    polish.check(units.upstream(stack), stack.polish)
    return make(
        stack,
        series,
        build_recipe,
        bundle.derivation(polish.recipe(stack.host.architecture, stack.polish)),
        polish.own_prompt(stack.polish),
        modes=polish.own_modes(stack.polish),
    )


def files(stack: HostStack) -> dict[str, str]:
    """Every text that the stack generates by name, its keys among them; arguments and errors as for `load`."""
    made = load(stack)
    keys = {
        "llama-server": made.build.key,
        "model": made.model.key,
        **({"polish": made.bundle.key} if made.bundle is not None else {}),
        "generation": made.generation.id,
    }
    return {
        **made.files,
        "build.json": manifest.text(made.build_manifest, indent=2),
        "model.json": manifest.text(made.model_manifest, indent=2),
        "generation.json": manifest.text(made.generation.manifest, indent=2),
        "appConfig.json": json.dumps(made.app_config, indent=2) + "\n",
        "keys.json": json.dumps(keys, indent=2) + "\n",
        sbom.FILE: sbom.host(stack, made, sbom.Project.read()),
    }


def make(
    stack: HostStack,
    series: Sequence[Patch],
    build_recipe: str,
    packed: Derivation | None = None,
    prompt: str | None = None,
    *,
    modes: Mapping[str, str] | None = None,
) -> Plan:
    """The whole plan of a host stack.

    Args:
        stack: what is declared.
        series: the patches of the profile, in order.
        build_recipe: the text of the build recipe.
        packed: the bundle of the polish service; None leaves the service out.
        prompt: the text of the stack's own prompt, or None where a shipped one is named.
        modes: the texts of the modes of the stack's own.
    """
    programs, caches = compilation(stack, series, build_recipe), told(stack.substituters)
    build = programs.derivation()
    model = weights.derivation(stack.model, programs)
    together = [*_board(stack), _llama_server(stack, build, model)]
    if stack.polish is not None and packed is not None:
        together.append(polish.unit(units.upstream(stack), stack.polish, packed, prompt, modes or {}))
    live = generation(together, units.board_settings(stack.board) if stack.board is not None else None)
    return Plan(
        build=build,
        build_manifest=programs.manifest(SERVER, caches),
        model=model,
        model_manifest=weights.told(stack.model, programs, caches),
        bundle=packed,
        bundle_manifest=bundle.said(packed, caches) if packed is not None else None,
        recipe=polish.recipe(stack.host.architecture, stack.polish) if stack.polish is not None else None,
        generation=live,
        files={
            **{unit.name: unit.text for unit in together},
            **{file.name: file.text for unit in together for file in unit.files if not file.secret},
        },
        app_config=units.app_config(stack),
    )


def compilation(stack: HostStack, series: Sequence[Patch], build_recipe: str) -> Compilation:
    """How the stack's programs of llama.cpp are made; arguments as for `make`."""
    return Compilation(
        source=stack.source,
        build=stack.build,
        architecture=stack.host.architecture,
        series=series,
        recipe=build_recipe,
    )


def _board(stack: HostStack) -> Iterator[Unit]:
    """What sets the board, where anything is declared of it; before the server, so that this starts on a set board."""
    if stack.board is None:
        return
    drop_ins = tuple(File(path=path, text=text) for path, text in units.memory_high(stack.board).items())
    if drop_ins or units.board_settings(stack.board):
        yield Unit(
            name=units.BOARD_UNIT,
            text=units.board_unit(),
            links={},
            needs=(),
            health=None,
            completion=None,
            ready_seconds=0,
            files=drop_ins,
        )


def _llama_server(stack: HostStack, build: Derivation, model: Derivation) -> Unit:
    url = local_url(stack.server.host, stack.server.port)
    return Unit(
        name=units.LLAMA_SERVER_UNIT,
        text=units.llama_server_unit(stack.server, stack.model, stack.build),
        links={
            units.LLAMA_SERVER: f"{build.path}/bin/llama-server",
            stack.model.served: f"{model.path}/{stack.model.file}",
        },
        needs=(build, model),
        health=f"{url}/health",
        completion=f"{url}/v1/chat/completions",
        ready_seconds=stack.server.ready_seconds,
        serves=manifest.Serves(
            program=build.item,
            model=model.item,
            file=stack.model.file,
            alias=stack.model.name,
            options=units.llama_server_command(stack.server, stack.model)[1:],
            adopts=stack.server.tune is not None,
        ),
    )
