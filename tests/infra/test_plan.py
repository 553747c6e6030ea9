"""What a stack makes exist, reviewed as whole files."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from infra import ROOT
from infra.core import patches, stackfile
from infra.core.derivation import Derivation, sha256
from infra.core.profiles import PROFILES
from infra.core.report import ConfigError
from infra.hosttools.pollex_host import manifest
from infra.kinds import table
from infra.kinds.host import plan
from infra.kinds.host.spec import HostStack
from pollex import keys

Golden = Callable[[str, str], None]
SCRIPT = "the text of the build recipe; fixed here, so that its edits do not change these files\n"

BUNDLE = Derivation("polish", {"fixed here": "so that edits of the service do not change these files"})


def made(stack: HostStack) -> plan.Plan:
    series = PROFILES[stack.build.profile].series
    loaded = patches.load(series, tag=stack.source.tag)
    return plan.make(stack, loaded, SCRIPT, BUNDLE if stack.polish is not None else None)


def host(values: dict[str, Any]) -> HostStack:
    stack = table.parse(values, file="x")
    assert isinstance(stack, HostStack)
    return stack


def host_stacks() -> dict[str, HostStack]:
    files = {stackfile.stack_name(file): stackfile.values(file) for file in stackfile.stack_files(ROOT)}
    return {name: host(values) for name, values in files.items() if values["kind"] == "host"}


def pretty(value: object) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def test_generated_files(host_name: str, host_stack: HostStack, golden: Golden) -> None:
    """If this fails, the board gets other files than the ones that were reviewed."""
    for name, text in made(host_stack).files.items():
        golden(f"{host_name}/{name}", text)


def test_manifests(host_name: str, host_stack: HostStack, golden: Golden) -> None:
    """If this fails, the host is asked for something else than what was reviewed."""
    all_made = made(host_stack)
    # texts that have files of their own
    build = {**manifest.plain(all_made.build_manifest), "patches": "…", "proof": "…"}
    golden(f"{host_name}/build.json", pretty(build))
    golden(f"{host_name}/model.json", manifest.text(all_made.model_manifest, indent=2))
    golden(f"{host_name}/generation.json", manifest.text(all_made.generation.manifest, indent=2))


def test_derivations(host_name: str, host_stack: HostStack, golden: Golden) -> None:
    """If this fails, a change that costs a rebuild went unseen in review."""
    all_made = made(host_stack)
    derivations = {d.item: dict(d.inputs) for d in (all_made.build, all_made.model)}
    golden(f"{host_name}/derivations.json", pretty(derivations))
    golden(f"{host_name}/live.json", pretty(all_made.generation.live))


def test_series_travels_whole(host_stack: HostStack) -> None:
    """If this fails, the board builds without one of the patches."""
    loaded = patches.load(PROFILES[host_stack.build.profile].series, tag=host_stack.source.tag)
    assert [(patch.name, patch.text) for patch in made(host_stack).build_manifest.patches] == [
        (patch.name, patch.text) for patch in loaded
    ]


def set_at(values: dict[str, Any], path: str, value: object) -> dict[str, Any]:
    group, _, name = path.partition(".")
    return {**values, group: {**values[group], name: value}}


REBUILDS = {
    "source.commit": "0" * 40,
    "source.tree": "1" * 40,
    "source.tag": "b5051",
    "build.flags": ["-DGGML_CUDA_FORCE_MMQ=ON"],
    "build.profile": "cpu",
    "host.architecture": "x86_64",
}
KEEPS = {
    "source.mirrors": ["git https://example.org/llama.cpp"],
    "build.jobs": 1,
    "build.packages": ["gcc-8", "g++-8", "cmake"],
    "server.port": 8081,
    "host.address": "192.168.1.7",
    "model.sha256": "2" * 64,
}


@pytest.mark.parametrize("path", [*REBUILDS, *KEEPS])
def test_what_costs_a_rebuild(values: dict[str, Any], path: str) -> None:
    """If this fails, a harmless change costs an hour of compiling, or a real one is served by an old binary."""
    changed = set_at(values, path, (REBUILDS | KEEPS)[path])
    patch = a_patch("x")
    keys = [plan.compilation(host(one), [patch], SCRIPT).derivation().key for one in (values, changed)]
    assert (keys[0] != keys[1]) == (path in REBUILDS)


def test_another_compiler_costs_a_rebuild(values: dict[str, Any]) -> None:
    """If this fails, a program that another compiler made goes on serving under the name of the one that was asked."""
    other = set_at(values, "build.packages", ["gcc-9", "g++-9", "make"])
    assert (
        plan.compilation(host(other), [], SCRIPT).derivation().key
        != plan.compilation(host(values), [], SCRIPT).derivation().key
    )


def a_patch(diff: str, *, name: str = "0001-x.patch", header: str = "Description: x") -> patches.Patch:
    """A patch with that diff."""
    text = f"{header}\n---\n{diff}\n"
    return patches.Patch(name=name, sha256=sha256(text), text=text, description="", applies_to=("b5050",))


def test_patches_and_recipe_cost_a_rebuild(values: dict[str, Any]) -> None:
    """If this fails, a changed patch or recipe is served by an old binary."""
    stack = host(values)
    first, second = a_patch("1"), a_patch("2", name="0002-y.patch")
    variants = [([first, second], SCRIPT), ([second, first], SCRIPT), ([first], SCRIPT), ([first, second], "other")]
    assert len({plan.compilation(stack, series, recipe).derivation().key for series, recipe in variants}) == len(
        variants
    )


def test_what_is_said_about_a_build_costs_none(values: dict[str, Any]) -> None:
    """If this fails, a comment in the recipe, or a word in a patch's header, costs an hour of compiling."""
    stack = host(values)
    recipe = "# why\nconfigure() {\n    cmake .\n}\n"
    key = plan.compilation(stack, [a_patch("1")], recipe).derivation().key
    commented = "# why, in other words\n\nconfigure() {\n    # and how\n    cmake .\n}\n"
    described = a_patch("1", name="0007-z.patch", header="Description: other words\nForwarded: yes")
    assert plan.compilation(stack, [described], commented).derivation().key == key


DECIDES_NOTHING = {
    "infra/hosttools/recipe.sh": "\n# a comment\n",
    "infra/hosttools/same-paths.cmake": "\n# a comment\n",
    "infra/hosttools/pollex_host/build.py": "\n# a comment\n",
    "infra/hosttools/pollex-host": "\n# a comment\n",
    "infra/kinds/host/units.py": "\n# a comment\n",
    "docs/design.md": "\nA line.\n",
    "patches/README.md": "\nA line.\n",
    "service/pollex/reference.py": "\n# a comment\n",
}


def test_what_decides_no_byte_of_a_build_is_not_in_its_key(tmp_path: Path) -> None:
    """If this fails, an edit of a document, or of the tools' own words, compiles for an hour on every board."""
    tree = tmp_path / "tree"
    ignored = shutil.ignore_patterns("__pycache__", ".*")
    for folder in ("infra", "service", "stacks", "patches", "docs", "requirements"):
        shutil.copytree(ROOT / folder, tree / folder, ignore=ignored)
    before = rendered_keys(tree)
    for name, text in DECIDES_NOTHING.items():
        with (tree / name).open("a") as file:
            file.write(text)
    after = rendered_keys(tree)
    assert {name: after[name] for name in ("llama-server", "model")} == {
        name: before[name] for name in ("llama-server", "model")
    }
    with (tree / "infra/hosttools/recipe.sh").open("a") as file:
        file.write("true\n")
    assert rendered_keys(tree)["llama-server"] != before["llama-server"]


def rendered_keys(tree: Path) -> dict[str, str]:
    """The keys of the sandbox's stack, by that tree's own code."""
    script = "import json, sys; from infra import review; from pathlib import Path; "
    script += "print(review.render(Path('stacks/Pulumi.sandbox.yaml'))['keys.json'])"
    environment = {**os.environ, "PYTHONPATH": f"{tree}:{tree}/service", "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tree, env=environment, capture_output=True, text=True, check=True
    )
    keys: dict[str, str] = json.loads(done.stdout)
    return keys


FORMER = {"jetson": "0776c269ad609d1a0e1e4f76a79a29a3", "sandbox": "39e99a41a8352cf9d7358c603b12cd5f"}
"""Keys of llama-server as the last revision whose tools were shell gave them."""


@pytest.mark.parametrize("name", FORMER)
def test_a_former_key_is_known(name: str) -> None:
    """If this fails, every board that was set up by the former tools compiles for an hour to get what it has."""
    stack = host_stacks()[name]
    fixed = [patches.Patch(name="0001-x.patch", sha256="3" * 64, text="", description="", applies_to=("b5050",))]
    assert plan.compilation(stack, fixed, SCRIPT).former_key() == FORMER[name]
    series = patches.load(PROFILES[stack.build.profile].series, tag=stack.source.tag)
    assert made(stack).build_manifest.former_keys == (plan.compilation(stack, series, SCRIPT).former_key(),)


SERVER_ONLY = {"server.context": 4096, "server.extraArgs": ["-fa"], "server.readySeconds": 60}


@pytest.mark.parametrize("path", SERVER_ONLY)
def test_a_server_setting_changes_the_generation_alone(values: dict[str, Any], path: str) -> None:
    """If this fails, a changed server flag is not activated, or rebuilds the server."""
    before, after = made(host(values)), made(host(set_at(values, path, SERVER_ONLY[path])))
    assert (before.build, before.model) == (after.build, after.model)
    assert before.generation.id != after.generation.id


def test_the_live_map_names_everything(host_stack: HostStack) -> None:
    """If this fails, `refresh` overlooks a part of what is live."""
    all_made = made(host_stack)
    live = all_made.generation.live
    units = all_made.generation.manifest.units
    named = {f"unit {unit.name}" for unit in units} | {f"service {unit.name}" for unit in units}
    named |= {f"link {link.path}" for unit in units for link in unit.links}
    named |= {f"file {file.path}" for unit in units for file in unit.files}
    named |= {f"store {made.item}" for made in (all_made.build, all_made.model, all_made.bundle) if made is not None}
    assert set(live) == {"generation", *named}
    assert re.fullmatch("[0-9a-f]{32}", live["generation"])


POLISH_ONLY = {"polish.settings": {"rate_limit": 60}, "polish.memoryMb": 300, "polish.port": 8091, "polish.apiKey": "k"}


@pytest.mark.parametrize("path", POLISH_ONLY)
def test_a_service_setting_leaves_the_server_alone(values: dict[str, Any], path: str) -> None:
    """If this fails, a changed setting of the service is not activated, or costs a restart of llama-server."""
    before, after = made(host(values)), made(host(set_at(values, path, POLISH_ONLY[path])))
    assert before.generation.id != after.generation.id
    server = "unit llama-server.service"
    assert before.generation.live[server] == after.generation.live[server]
    assert (before.build, before.model, before.bundle) == (after.build, after.model, after.bundle)


def test_keys_of_people(values: dict[str, Any]) -> None:
    """If this fails, a key that somebody was given opens nothing, or one that was revoked still does."""
    kept = keys.hashed(keys.new())
    values["polish"]["apiKeys"] = {"ana": kept}
    assert made(host(values)).files["pollex.yaml"].count(f"api_keys:\n  ana: {kept}\n") == 1
    del values["polish"]["apiKeys"]
    assert "api_keys" not in made(host(values)).files["pollex.yaml"]


def test_without_the_service_nothing_of_it_is_left(values: dict[str, Any]) -> None:
    """If this fails, somebody who wants llama-server alone gets a web service too."""
    del values["polish"]
    all_made = made(host(values))
    assert list(all_made.files) == ["llama-server.service"]
    assert [unit.name for unit in all_made.generation.manifest.units] == ["llama-server.service"]


def test_secrets_travel_apart(values: dict[str, Any]) -> None:
    """If this fails, an API key stands in a manifest that reviews and states show."""
    values["polish"] |= {"apiKey": "correct horse", "claudeApiKey": "battery staple", "llamacppApiKey": "sk-hay"}
    all_made = made(host(values))
    shown = json.dumps(
        [manifest.text(all_made.generation.manifest), all_made.generation.live, all_made.files, all_made.app_config]
    )
    assert "horse" not in shown
    assert "staple" not in shown
    assert "sk-hay" not in shown
    (text,) = all_made.generation.secrets.values()
    assert text.splitlines()[1:] == [
        'POLLEX_API_KEY="correct horse"',
        'POLLEX_CLAUDE_API_KEY="battery staple"',
        'POLLEX_LLAMACPP_API_KEY="sk-hay"',
    ]
    other = made(host({**values, "polish": {**values["polish"], "apiKey": "wrong horse"}}))
    assert other.generation.id != all_made.generation.id


def test_an_own_prompt_travels_as_a_file(values: dict[str, Any]) -> None:
    """If this fails, a changed prompt never reaches the board."""
    values["polish"]["prompt"] = "mine.txt"
    stack = host(values)
    series = patches.load(PROFILES[stack.build.profile].series, tag=stack.source.tag)
    one, two = (plan.make(stack, series, SCRIPT, BUNDLE, text) for text in ("Mend it.\n", "Mend it well.\n"))
    assert one.files["prompt.txt"] == "Mend it.\n"
    assert "prompt_path: /etc/pollex/prompt.txt" in one.files["pollex.yaml"]
    assert one.generation.id != two.generation.id


def test_modes_of_ones_own_travel_as_files(values: dict[str, Any], tmp_path: Path) -> None:
    """If this fails, a mode that somebody wrote works at home and is unknown on the board."""
    file = tmp_path / "kind.txt"
    file.write_text("Say it kindly.")
    values["polish"]["modes"] = {"kind": str(file), "letter": "formal-small"}
    made = plan.load(host(values))
    assert made.files["mode-kind.txt"] == "Say it kindly.\n"
    assert "mode-letter.txt" not in made.files
    assert "modes:\n  kind: /etc/pollex/mode-kind.txt\n  letter: formal-small\n" in made.files["pollex.yaml"]
    file.write_text("Say it very kindly.")
    assert plan.load(host(values)).generation.id != made.generation.id


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"modes": {"kind": "no/file.txt"}}, ("pollex:polish.modes.kind", "no/file.txt", "cannot be read")),
        ({"settings": {"modes": {"kind": "x.txt"}}}, ("polish.settings.modes", "pollex:polish.modes")),
        ({"prompt": "no/such/file.txt"}, ("pollex:polish.prompt", "no/such/file.txt", "polish-small")),
        ({"settings": {"llamacpp_api_key": "k"}}, ("polish.settings.llamacpp_api_key", "pollex:polish.llamacppApiKey")),
        ({"settings": {"rate_limt": 60}}, ("pollex:polish.settings.rate_limt", "did you mean rate_limit?")),
        ({"settings": {"max_chars": 0, "slot": 2}}, ("polish.settings.max_chars", "polish.settings.slot")),
        ({"settings": {"fallback": {"x": ["y"]}}}, ("polish.settings.fallback", "no configured model")),
    ],
)
def test_what_the_service_refuses_is_said_before(
    values: dict[str, Any], change: dict[str, Any], words: tuple[str, ...]
) -> None:
    """If this fails, a mistyped setting is found out only when the board has restarted the service with it."""
    values["polish"] |= change
    with pytest.raises(ConfigError) as caught:
        plan.load(host(values))
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_no_golden_file_is_left_over() -> None:
    """If this fails, a file stands in review that nothing is compared with any more."""
    folder = Path(__file__).parent / "__snapshots__" / "test_plan"
    kept = {file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()}
    told = ["build.json", "model.json", "generation.json", "derivations.json", "live.json"]
    made_here = {f"{name}/{file}" for name, one in host_stacks().items() for file in [*made(one).files, *told]}
    assert kept == made_here
