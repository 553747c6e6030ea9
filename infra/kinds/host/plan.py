"""From the spec to everything that will exist: derivations, manifests, the generation and its live map. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from infra import HOST_FOLDER, proof
from infra.core import bundle, patches
from infra.core.bundle import Recipe
from infra.core.derivation import Derivation, Json, sha256, significant
from infra.core.patches import Patch
from infra.core.profiles import PROFILES, SPARSE
from infra.hosttools.pollex_host import manifest
from infra.kinds.host import polish, units
from infra.kinds.host.generation import File, Generation, Unit, generation
from infra.kinds.host.spec import HostStack, Polish

SERVER = "llama-server"
QUANTISER = "llama-quantize"
"""llama.cpp's program that stores a model's tensors in other types; made from the same source as the server."""


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


def build_derivation(stack: HostStack, series: Sequence[Patch], recipe: str, target: str = SERVER) -> Derivation:
    """A program of llama.cpp as a derivation: what decides its bytes, and nothing else.

    Args:
        stack: what is declared.
        series: the patches of the profile, in order; their headers and names decide nothing.
        recipe: the text of the build recipe; its comments decide nothing.
        target: the program; the tools beside the server never touch a GPU.
    """
    return Derivation(
        target,
        {
            "source": {"commit": stack.source.commit, "tree": stack.source.tree, "number": stack.source.number},
            "patches": [patch.identity for patch in series],
            # an interrupted build goes on with the folders that it has
            "folders": list(SPARSE),
            "recipe": sha256(significant(recipe)),
            "flags": list(flags(stack, target)),
            "target": target,
            "architecture": stack.host.architecture,
            "toolchain": toolchain(stack),
            # what is in the store has passed it
            **({"proof": proof.identity()} if target == SERVER else {}),
        },
    )


def toolchain(stack: HostStack) -> str | list[Json]:
    """What compiles: the profile's words for it, or the stack's own packages where they bring other compilers."""
    profile = PROFILES[stack.build.profile]
    own, usual = (set(names) - NO_COMPILERS for names in (packages(stack), profile.packages))
    return profile.toolchain if own == usual else [*sorted(own)]


NO_COMPILERS = {"ccache", "cmake", "git", "make", "ninja-build", "patch"}
"""Packages of a build that decide no byte of what it makes."""

FORMER_SCRIPT = "698ae2c1270912a26c89d39f6228845a1e9a08f649a8b8f2059766bbfaef4786"
"""The SHA-256 of the four build scripts as they were last, when a key held the whole of them."""


def former_key(stack: HostStack, series: Sequence[Patch], target: str) -> str:
    """The key by the former formula, which named the same bytes: it held headers, names and comments too."""
    return Derivation(
        target,
        {
            "source": {"commit": stack.source.commit, "tree": stack.source.tree, "number": stack.source.number},
            "patches": [{"name": patch.name, "sha256": patch.sha256} for patch in series],
            "folders": list(SPARSE),
            "script": FORMER_SCRIPT,
            "flags": list(flags(stack, target)),
            "target": target,
            "architecture": stack.host.architecture,
            "toolchain": PROFILES[stack.build.profile].toolchain,
            **({"proof": proof.identity()} if target == SERVER else {}),
        },
    ).key


def model_derivation(stack: HostStack, quantiser: Derivation | None) -> Derivation:
    """The file that is served, as a derivation.

    One that is served as it was published has its bytes as its identity. One that is made on the host is named by what
    it is made from, by which program, and how.

    Args:
        stack: what is declared.
        quantiser: llama-quantize, where the stack has the host make the file.
    """
    return _published(stack) if quantiser is None else _quantised(stack, quantiser.key)


def _quantised(stack: HostStack, quantiser: str) -> Derivation:
    """The file that is made on the host by the quantiser of that key."""
    if stack.model.quantise is None:
        return _published(stack)
    return Derivation(
        "model",
        {
            "source": stack.model.origin.sha256,
            "with": quantiser,
            "arguments": list(quantise_arguments(stack)),
            "type": stack.model.quantise.type,
            "file": stack.model.file,
        },
    )


def _published(stack: HostStack) -> Derivation:
    """The file that is downloaded."""
    return Derivation("model", {"sha256": stack.model.origin.sha256, "file": stack.model.origin_file})


def quantise_arguments(stack: HostStack) -> tuple[str, ...]:
    """llama-quantize's options; the two files and the type of the whole follow them."""
    made = stack.model.quantise
    if made is None:
        return ()
    return (
        *("--output-tensor-type", made.output.lower()),
        *("--token-embedding-type", made.embedding.lower()),
        *(("--allow-requantize",) if made.requantise else ()),
    )


RECIPE = ("recipe.sh", "same-paths.cmake")
"""What of infra/hosttools decides the bytes of a build."""


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
        bundle.derivation(recipe(stack.host.architecture, stack.polish)),
        polish.own_prompt(stack.polish),
        modes=polish.own_modes(stack.polish),
    )


def recipe(architecture: str, polish: Polish) -> Recipe:
    """What is packed of the polish service, and for which architecture."""
    python = polish.python
    return Recipe(
        architecture=architecture,
        python=python.version,
        interpreter=python.sha256,
        urls=(python.url, *python.mirrors) if python.url is not None else (),
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
    build = build_derivation(stack, series, build_recipe)
    quantiser = build_derivation(stack, series, build_recipe, QUANTISER) if stack.model.quantise is not None else None
    model = model_derivation(stack, quantiser)
    together = [_llama_server(stack, build, model)]
    if stack.polish is not None and packed is not None:
        together.append(polish_unit(units.upstream(stack), stack.polish, packed, prompt, modes or {}))
    live = generation(together)
    return Plan(
        build=build,
        build_manifest=_build(stack, build, series),
        model=model,
        model_manifest=_model(stack, model, quantiser, series),
        bundle=packed,
        bundle_manifest=bundle.said(packed, stack.substituters) if packed is not None else None,
        recipe=recipe(stack.host.architecture, stack.polish) if stack.polish is not None else None,
        generation=live,
        files={
            **{unit.name: unit.text for unit in together},
            **{file.name: file.text for unit in together for file in unit.files if not file.secret},
        },
        app_config=units.app_config(stack),
    )


def _llama_server(stack: HostStack, build: Derivation, model: Derivation) -> Unit:
    url = units.local_url(stack.server.host, stack.server.port)
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


def polish_unit(
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
        health=f"{units.local_url(polish.host, polish.port)}{health}",
        completion=None,
        ready_seconds=polish.ready_seconds,
        files=(
            File(path=units.SETTINGS, text=units.pollex_yaml(settings)),
            *((File(path=units.PROMPT, text=prompt),) if prompt is not None else ()),
            *(File(path=units.MODE.format(mode), text=text) for mode, text in modes.items()),
            *((File(path=units.SECRETS, text=secrets, secret=True),) if secrets is not None else ()),
        ),
    )


def _build(stack: HostStack, build: Derivation, series: Sequence[Patch]) -> manifest.Build:
    return manifest.Build(
        key=build.key,
        name=build.name,
        target=build.name,
        source=manifest.Source(
            commit=stack.source.commit,
            tree=stack.source.tree,
            number=stack.source.number,
            mirrors=tuple(stack.source.mirrors),
            folders=SPARSE,
        ),
        patches=tuple(manifest.Patch(patch.name, patch.text) for patch in series),
        flags=flags(stack, build.name),
        packages=packages(stack),
        jobs=stack.build.jobs if isinstance(stack.build.jobs, int) else None,
        proof=manifest.Proof(**proof.texts()) if build.name == SERVER else None,
        substituters=tuple(stack.substituters),
        former_keys=(former_key(stack, series, build.name),),
    )


def _model(
    stack: HostStack, model: Derivation, quantiser: Derivation | None, series: Sequence[Patch]
) -> manifest.Model | manifest.Quantised:
    if quantiser is None or stack.model.quantise is None:
        return _download(stack)
    return manifest.Quantised(
        key=model.key,
        name=model.name,
        file=stack.model.file,
        arguments=quantise_arguments(stack),
        type=stack.model.quantise.type,
        source=_download(stack),
        tool=_build(stack, quantiser, series),
        substituters=tuple(stack.substituters),
        former_keys=(_quantised(stack, former_key(stack, series, QUANTISER)).key,),
    )


def _download(stack: HostStack) -> manifest.Model:
    published, origin = _published(stack), stack.model.origin
    return manifest.Model(
        key=published.key,
        name=published.name,
        file=stack.model.origin_file,
        size=origin.size,
        sha256=origin.sha256,
        mirrors=(origin.url, *origin.mirrors),
        adopt=stack.model.path if origin is stack.model else None,
    )


def flags(stack: HostStack, target: str = SERVER) -> tuple[str, ...]:
    """The CMake arguments of a build: the profile's, then the stack's own; a tool is compiled for the CPU alone."""
    every = (*PROFILES[stack.build.profile].flags, *stack.build.flags)
    return every if target == SERVER else tuple(flag for flag in every if "CUDA" not in flag)


def packages(stack: HostStack) -> tuple[str, ...]:
    """The apt packages of the build: the stack's own list, or the profile's."""
    own = stack.build.packages
    return own if own is not None else PROFILES[stack.build.profile].packages
