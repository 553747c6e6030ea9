"""A manifest arrives on the host as it was written, or not at all."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infra.hosttools.pollex_host import manifest
from infra.hosttools.pollex_host.manifest import (
    Build,
    File,
    Gate,
    Generation,
    Link,
    ManifestError,
    Model,
    Patch,
    Proof,
    Quantised,
    Source,
    Substituter,
    Unit,
)
from tests.host.conftest import KEY, TOOLS, Host

TEXT = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0"))
LINE = TEXT.filter(lambda text: "\n" not in text)
NAME = st.from_regex(manifest.NAME, fullmatch=True)
LINES = st.lists(LINE, max_size=3).map(tuple)
HASH = "a" * 64
PUBLIC = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE" + 86 * "a" + "=="


@st.composite
def builds(draw: st.DrawFn) -> Build:
    """Builds whose texts hold whatever a text can."""
    return Build(
        key=KEY,
        name=draw(NAME),
        target=draw(NAME),
        source=Source(commit="a" * 40, tree="b" * 40, number=draw(st.integers(0)), mirrors=("git file:///a$b",)),
        patches=tuple(Patch(draw(NAME), draw(TEXT)) for _ in range(draw(st.integers(0, 2)))),
        flags=draw(LINES),
        packages=draw(LINES),
        jobs=draw(st.none() | st.integers(1, 64)),
        proof=draw(st.none() | st.builds(Proof, TEXT, TEXT, TEXT)),
        substituters=tuple(Substituter(url, PUBLIC) for url in draw(LINES)),
        former_keys=("f" * 32,),
    )


@settings(max_examples=60)
@given(made=builds(), model_name=NAME, text=TEXT)
def test_what_is_written_is_read(made: Build, model_name: str, text: str) -> None:
    """A patch, a flag or a unit would be deployed that is not the one that was reviewed."""
    model = Model("1" * 32, "model", model_name, 3, HASH, ("https://a/b?c",), adopt="/opt/x y")
    unit = Unit(
        name="a.service",
        text=text,
        needs=(made.item,),
        links=(Link("/usr/local/bin/it's", "/opt/pollex/$x"),),
        gate=Gate("http://127.0.0.1/health", None, 5),
    )
    whole: list[manifest.Manifest] = [
        made,
        model,
        Quantised("2" * 32, "model", "q", ("--x",), "Q4_0", model, made),
        Generation("g", (unit,)),
    ]
    for each in whole:
        assert manifest.parse(manifest.text(each)) == each
        assert manifest.parse(manifest.text(each, indent=2), each.kind) == each


MODEL = manifest.plain(Model(KEY, "model", "m.gguf", 3, HASH, ("https://a",)))
UNIT = {"name": "a.service", "text": "x"}


def generation(**changes: object) -> dict[str, object]:
    """A generation of one unit, changed."""
    return {"kind": "generation", "id": "g", "units": [{**UNIT, **changes}]}


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("", "is not JSON"),
        ("{", "is not JSON"),
        ("[]", "is a list, not an object"),
        ({}, "kind: is missing"),
        ({"kind": "x"}, "is of kind 'x', wanted"),
        ({**MODEL, "key": f"../../{KEY[:26]}"}, "key: '../../"),
        ({**MODEL, "name": "../x"}, "name: '../x' is not a plain file name"),
        ({**MODEL, "file": ".hidden"}, "file: '.hidden' is not a plain file name"),
        ({**MODEL, "size": "3"}, "size: '3' is not a number from 0 up"),
        ({**MODEL, "size": True}, "size: True is not a number from 0 up"),
        ({**MODEL, "size": -1}, "size: -1 is not a number from 0 up"),
        ({**MODEL, "sha256": "a"}, "sha256: 'a' is not 64 hex digits"),
        ({**MODEL, "mirrors": "https://a"}, "mirrors: is a text, not a list"),
        ({**MODEL, "mirrors": ["https://a", 1]}, "mirrors[1]: is a number, not a text"),
        ({**MODEL, "mirrors": ["a\nb"]}, "mirrors[0]: is more than one line"),
        ({**MODEL, "mirrors": ["a\0b"]}, "mirrors[0]: holds a NUL byte"),
        ({**MODEL, "mirorrs": []}, "the manifest: has unknown fields: mirorrs"),
        ({name: value for name, value in MODEL.items() if name != "sha256"}, "sha256: is missing"),
        (generation(name="../x.service"), "units[0].name: '../x.service' is not the name of a service"),
        (generation(nedds=[]), "units[0]: has unknown fields: nedds"),
        (generation(links=[{"path": "relative", "target": "x"}]), "units[0].links[0].path: 'relative' is not a plain"),
        (generation(links=[{"path": "/a/../b", "target": "x"}]), "units[0].links[0].path: '/a/../b' is not a plain"),
        (generation(files=[{"path": "/a", "mode": "6777", "sha256": HASH}]), "units[0].files[0].mode: '6777' is not"),
        (generation(files=[{"path": "/a", "mode": "644", "sha256": HASH, "text": "x"}]), "units[0].files[0].sha256:"),
        (generation(gate={"health": "x"}), "units[0].gate.seconds: is missing"),
        ({**generation(), "secrets": {"/a": "x"}}, "secrets: no unit has a file at /a"),
        ({"kind": "generation", "id": "g", "units": [UNIT, UNIT]}, "units: a.service is there twice"),
        ({"kind": "generation", "id": "../g"}, "id: '../g' is not a plain file name"),
        (generation(links=[{"path": "/a", "target": "x"}] * 2), "units: two things are to stand at /a"),
    ],
)
def test_what_cannot_be_used_is_refused_by_name(value: object, says: str) -> None:
    """A misspelt field would count as its default, or a forged one write outside of its folder."""
    with pytest.raises(ManifestError, match=re.escape(says)):
        manifest.parse(value if isinstance(value, str) else json.dumps(value))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "stdin is not a manifest that can be used: the manifest on stdin is not JSON"),
        (json.dumps({**MODEL, "key": "x"}), "stdin is not a manifest that can be used: key: 'x' is not 32 hex digits"),
        (json.dumps(MODEL), "this is a manifest of kind 'model'; 'ensure' takes kind 'build'"),
        (json.dumps(generation()), "this is a manifest of kind 'generation', which 'activate' takes"),
    ],
)
def test_a_bad_manifest_changes_nothing(host: Host, text: str, reason: str) -> None:
    """A cut or forged manifest would start a build of nothing, or be kept."""
    done = host.run("ensure", stdin=text)
    assert (done.returncode, done.stdout) == (2, "")
    assert reason in done.stderr
    kept = host.root / "drv"
    assert not kept.exists() or list(kept.iterdir()) == []


def test_secrets_are_told_apart() -> None:
    """A key of the service would stand in a state, or be readable by everybody on the host."""
    digest = "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae"
    unit = Unit("a.service", "x", files=(File("/etc/s", "600", digest),))
    whole = Generation("g", (unit,), {"/etc/s": "foo"})
    assert "foo" not in repr(whole)
    assert "foo" not in manifest.text(whole.without_secrets())
    assert manifest.parse(manifest.text(whole)) == whole
    assert Generation("g", (unit,)).lacking() == ["/etc/s"]
    with pytest.raises(ManifestError, match="not that of the text") as refused:
        manifest.parse(manifest.text(Generation("g", (unit,), {"/etc/s": "canary"})))
    assert "canary" not in str(refused.value)


def test_an_older_python_can_read_the_tools() -> None:
    """A board would answer each verb with a syntax error."""
    for file in TOOLS.rglob("*.py"):
        ast.parse(file.read_text(), file.name, feature_version=(3, 9))


def test_the_tools_need_nothing_but_the_standard_library() -> None:
    """A board, which has no packages, would answer each verb with an import error."""
    import sys  # noqa: PLC0415 - for this test alone

    for file in (TOOLS / "pollex_host").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.level == 0:
                names.append(node.module or "")
            assert all(name.partition(".")[0] in sys.stdlib_module_names for name in names), (file, names)


def test_every_tool_is_delivered(tmp_path: Path) -> None:
    """A file that was added would be missing on the boards."""
    from infra.hosttools.pollex_host import tools  # noqa: PLC0415 - for this test alone

    expected = {file.relative_to(TOOLS).as_posix() for file in TOOLS.rglob("*") if file.is_file()}
    expected = {name for name in expected if "__pycache__" not in name} - {"__init__.py"}
    assert set(tools.names(str(TOOLS))) == expected
    assert tools.tools_hash(str(tmp_path)) == ""
