"""`pollex models find`: Ollama's stores as they are, damaged, hostile and unreadable, and the links into them."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pollex import modelfind
from pollex.ollama import Store
from sandbox import fetch
from tests.cli.conftest import COMMAND, SOON, Answer, Pollex, Scripted
from tests.cli.ggufs import LIBRARY, MODEL, Ollama, small

NOMIC = small({"general.architecture": "nomic-bert", "nomic-bert.pooling_type": 1})
OTHER = small({"general.file_type": 15, "general.size_label": "1.5B"})
PROJECTOR = "application/vnd.ollama.image.projector"

# What ollama 0.6.5 wrote after `ollama create smollm2:135m`, apart from the path that it was created from.
REAL_DIGEST = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
REAL_MANIFEST = (
    '{"schemaVersion":2,"mediaType":"application/vnd.docker.distribution.manifest.v2+json","config":{"mediaType":'
    '"application/vnd.docker.container.image.v1+json","digest":'
    '"sha256:b5e9055bec0651cc424cc7c9b409874c4090a84737220198dd5bb991f6eaf853","size":488},"layers":[{"mediaType":'
    f'"application/vnd.ollama.image.model","digest":"sha256:{REAL_DIGEST}","size":98362432}},{{"mediaType":'
    '"application/vnd.ollama.image.template","digest":'
    '"sha256:e3b2721cec511e3a627ae0993753abbf5c72cdf4cfcdbc8f5c33ce15c4c4e04b","size":102},{"mediaType":'
    '"application/vnd.ollama.image.params","digest":'
    '"sha256:5413f21bab80781fcd5a59ec1058592ed63ecce859b9a00d9a4b3c4cca5902af","size":75}]}'
)


@pytest.fixture
def store(tmp_path: Path) -> Ollama:
    """A store with one healthy model."""
    ollama = Ollama(tmp_path / "models")
    ollama.add(f"{LIBRARY}/nomic-embed-text/latest", NOMIC)
    return ollama


def rows(done: subprocess.CompletedProcess[bytes]) -> list[list[str]]:
    return [line.split("\t") for line in done.stdout.decode().splitlines()]


def test_finds_a_real_model_where_ollama_put_it(pollex: Pollex, tmp_path: Path) -> None:
    """If this fails, nobody's models are found."""
    real = Ollama(tmp_path / "models")
    real.write(f"{LIBRARY}/smollm2/135m", REAL_MANIFEST)
    blob = real.folder / "blobs" / f"sha256-{REAL_DIGEST}"
    blob.parent.mkdir()
    blob.symlink_to(fetch.fetch(fetch.MODEL))
    done = pollex("models", "find", env={"OLLAMA_MODELS": str(real.folder), "HOME": str(tmp_path)})
    assert ["smollm2:135m", "98 MB", "Q4_1", "llama", "135M", "8192", "-", str(blob)] in rows(done)
    assert (done.returncode, done.stderr) == (0, b"")


def test_json_tells_everything(pollex: Pollex, store: Ollama) -> None:
    """If this fails, a script cannot know how a model must be served: its pooling, its dimensions, its file."""
    blob = store.add(
        f"{LIBRARY}/minilm/l6", small({"bert.pooling_type": 2, "bert.embedding_length": 384, "general.name": "M"})
    )
    done = pollex("models", "find", "--json", str(store.folder))
    said = json.loads(done.stdout)
    assert said["stores"] == [str(store.folder)]
    assert said["problems"] == []
    assert said["models"][0] == {
        "name": "minilm",
        "tag": "l6",
        "kind": "model",
        "path": str(blob),
        "size": blob.stat().st_size,
        "architecture": "bert",
        "quantisation": "F16",
        "title": "M",
        "size_label": None,
        "parameters": 1_500_000,
        "context_length": 512,
        "embedding_length": 384,
        "pooling": "cls",
    }


def test_a_table_on_a_terminal(pollex: Pollex, store: Ollama) -> None:
    """If this fails, a hundred characters of path leave a person nothing to read, or nobody learns of the paths."""
    store.add(f"{LIBRARY}/qwen2.5/1.5b", OTHER)
    seen = pollex.on_a_terminal("models", "find", str(store.folder), env={"NO_COLOR": "1"})
    lines = seen.splitlines()
    assert ("pooling" in lines[0], "path" in lines[0]) == (True, False)
    assert lines[1].split() == ["nomic-embed-text:latest", "0", "MB", "F16", "nomic-bert", "2M", "-", "mean"]
    assert lines[2].split() == ["qwen2.5:1.5b", "0", "MB", "Q4_K_M", "bert", "1.5B", "512", "-"]
    assert "--link DIR" in seen


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("registry.ollama.ai/library/qwen2.5/1.5b", "qwen2.5:1.5b"),
        ("registry.ollama.ai/someone/small/latest", "someone/small:latest"),
        ("hf.co/bartowski/SmolLM2-GGUF/Q4_1", "hf.co/bartowski/SmolLM2-GGUF:Q4_1"),
        ("localhost:5000/library/x/latest", "localhost:5000/library/x:latest"),
        ("localhost%3A5000/library/x/latest", "localhost:5000/library/x:latest"),
    ],
)
def test_names_are_those_of_ollama(pollex: Pollex, tmp_path: Path, path: str, name: str) -> None:
    """If this fails, the name that is shown is not one that `ollama show` or MODEL= understands."""
    ollama = Ollama(tmp_path)
    ollama.add(path, OTHER)
    assert [row[0] for row in rows(pollex("models", "find", str(tmp_path)))] == [name]


def test_what_goes_with_a_model_is_found_too(pollex: Pollex, store: Ollama) -> None:
    """If this fails, a model for pictures lacks half of its files, or one lost half hides the other."""
    layers = [store.layer(OTHER), store.layer(NOMIC, PROJECTOR), store.layer(small({"lost": 1}), PROJECTOR)]
    store.blob(small({"lost": 1})).unlink()
    store.manifest(f"{LIBRARY}/llava/7b", [*layers, store.layer(b"MIT", "application/vnd.ollama.image.license")])
    said = json.loads(pollex("models", "find", "--json", str(store.folder)).stdout)
    kinds = [(model["kind"], model["path"]) for model in said["models"] if model["name"] == "llava"]
    assert kinds == [("model", str(store.blob(OTHER))), ("projector", str(store.blob(NOMIC)))]
    assert ["its projector is missing" in problem["what"] for problem in said["problems"]] == [True]


def test_finds_models_of_newer_versions(pollex: Pollex, tmp_path: Path) -> None:
    """If this fails, models vanish when Ollama is updated to one that links manifests and lists several of them."""
    ollama = Ollama(tmp_path)
    manifest = ollama.manifest(f"{LIBRARY}/old/latest", [ollama.layer(OTHER)])
    child = ollama.layer(manifest.read_bytes())
    children = [
        {"digest": child["digest"], "runner": "llamacpp", "format": "gguf"},
        {"digest": f"sha256:{'0' * 64}", "runner": "mlx", "format": "safetensors"},
        {"layers": [ollama.layer(OTHER)], "runner": "ollama"},
    ]
    listed = {"mediaType": "application/vnd.ollama.manifest.list.v2+json", "manifests": children}
    ollama.layer(json.dumps(listed).encode())
    blob = ollama.blob(json.dumps(listed).encode())
    for name, target in (("listed", blob), ("old", blob.with_name("gone"))):
        link = tmp_path / "manifests-v2" / "ollama.com" / "library" / name / "latest"
        link.parent.mkdir(parents=True)
        link.symlink_to(target)
    done = pollex("models", "find", str(tmp_path))
    assert ([row[0] for row in rows(done)], done.stderr) == (["listed:latest", "old:latest"], b"")


def _cut(store: Ollama) -> None:
    store.add(f"{LIBRARY}/bad/1", OTHER[:-9], size=len(OTHER))


def _missing(store: Ollama) -> None:
    store.add(f"{LIBRARY}/bad/1", OTHER).unlink()


def _partial(store: Ollama) -> None:
    blob = store.add(f"{LIBRARY}/bad/1", OTHER)
    blob.rename(f"{blob}-partial")


def _pipe(store: Ollama) -> None:
    blob = store.add(f"{LIBRARY}/bad/1", OTHER)
    blob.unlink()
    os.mkfifo(blob)


def _pipe_for_a_manifest(store: Ollama) -> None:
    (store.folder / "manifests" / LIBRARY / "bad").mkdir()
    os.mkfifo(store.folder / "manifests" / LIBRARY / "bad" / "1")


def _long_manifest(store: Ollama) -> None:
    os.truncate(store.write(f"{LIBRARY}/bad/1", ""), 1 << 40)


def _layers(layers: object) -> Callable[[Ollama], object]:
    return lambda store: store.manifest(f"{LIBRARY}/bad/1", layers)


def _text(text: str) -> Callable[[Ollama], object]:
    return lambda store: store.write(f"{LIBRARY}/bad/1", text)


@pytest.mark.parametrize(
    ("damage", "where", "words"),
    [
        (_cut, "bad:1", f"its model has {len(OTHER) - 9} bytes instead of {len(OTHER)}; delete "),
        (_missing, "bad:1", "its model is missing: "),
        (_missing, "bad:1", "try: ollama pull bad:1"),
        (_partial, "bad:1", "was not downloaded to its end; try: ollama pull bad:1"),
        (_pipe, "bad:1", "its model is no file"),
        (_pipe_for_a_manifest, "bad:1", "its manifest is no file"),
        (_long_manifest, "bad:1", "its manifest is longer than 4 MiB"),
        (lambda store: store.add(f"{LIBRARY}/bad/1", b"PK\3\4 weights"), "bad:1", r"is not GGUF: it starts with b'PK"),
        (lambda store: store.add(f"{LIBRARY}/bad/1", OTHER[:-9]), "bad:1", "ends within its header"),
        (lambda store: store.add(f"{LIBRARY}/bad/1", b"", "a.tensor"), "bad:1", "holds no GGUF, only a.tensor"),
        (_layers(None), "bad:1", "holds nothing: it runs elsewhere"),
        (_layers([{"mediaType": MODEL, "digest": "sha256:../../etc/passwd", "size": 1}]), "bad:1", "by no SHA-256"),
        (_layers([{"mediaType": MODEL, "digest": f"sha256:{'0' * 64}"}]), "bad:1", "without media type or size"),
        (_layers([1]), "bad:1", "layers are no list of objects"),
        (_layers({"a": 1}), "bad:1", "layers are no list of objects"),
        (_text(""), "bad:1", "its manifest is not JSON"),
        (_text("\0\1\2"), "bad:1", "its manifest is not JSON"),
        (_text("[" * 100_000), "bad:1", "its manifest is not JSON"),
        (_text("[]"), "bad:1", "its manifest is no JSON object"),
        (lambda store: store.write(f"{LIBRARY}/a b/1", ""), "/a b/1", "its path is no model's name"),
        (lambda store: store.write(f"{LIBRARY}/a\x1b[2J/1", ""), "/a\ufffd[2J/1", "its path is no model's name"),
    ],
)
def test_damage_is_told_and_left_out(
    pollex: Pollex, store: Ollama, damage: Callable[[Ollama], object], where: str, words: str
) -> None:
    """If this fails, one damaged model hides the healthy ones, or is offered as one, or nobody learns what to do."""
    damage(store)
    plain, told = pollex("models", "find", str(store.folder)), pollex("models", "find", "--json", str(store.folder))
    assert [row[0] for row in rows(plain)] == ["nomic-embed-text:latest"]
    assert (plain.returncode, told.returncode, told.stderr) == (0, 0, b"")
    said = json.loads(told.stdout)
    assert [model["name"] for model in said["models"]] == ["nomic-embed-text"]
    lines = plain.stderr.decode().splitlines()
    assert [(where in line, words in line) for line in lines] == [(True, True)], lines
    assert [(words in problem["what"]) for problem in said["problems"]] == [True]


def test_what_a_file_manager_leaves_is_no_problem(pollex: Pollex, store: Ollama) -> None:
    """If this fails, every folder that was opened on a Mac gives a line about .DS_Store."""
    for folder in ("manifests", f"manifests/{LIBRARY}", f"manifests/{LIBRARY}/nomic-embed-text"):
        (store.folder / folder / ".DS_Store").write_text("")
    assert pollex("models", "find", str(store.folder)).stderr == b""


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["layers", "manifests", "mediaType", "digest", "size", "format", "config"]),
            inner,
            max_size=5,
        )
    ),
    max_leaves=20,
)
LISTED = JSON.map(lambda value: {"mediaType": "application/vnd.ollama.manifest.list.v2+json", "manifests": value})


@given(JSON | LISTED | JSON.map(lambda value: {"layers": value}))
def test_any_manifest_is_a_model_or_a_problem(document: Any) -> None:
    """If this fails, some manifest ends the whole listing with a traceback."""
    with TemporaryDirectory() as folder:
        Ollama(Path(folder)).write(f"{LIBRARY}/any/1", json.dumps(document))
        store = Store(Path(folder))
        assert store.models() == []
        assert [problem.where for problem in store.problems] == ["any:1"]


def test_unreadable_folders_are_told(pollex: Pollex, store: Ollama, tmp_path: Path) -> None:
    """If this fails, models that another user's Ollama keeps seem not to be there, or end the search for the others."""
    closed = Ollama(tmp_path / "closed")
    closed.add(f"{LIBRARY}/secret/1", OTHER)
    closed.add(f"{LIBRARY}/open/1", NOMIC)
    (closed.folder / "manifests" / LIBRARY / "secret").chmod(0)
    (tmp_path / "shut").mkdir(mode=0)
    # root may look everywhere, unless it gives that up
    prefix = ["setpriv", "--bounding-set=-dac_override,-dac_read_search", "--"] if os.geteuid() == 0 else []
    done = subprocess.run(
        [*prefix, *COMMAND, "models", "find", str(tmp_path / "shut"), str(closed.folder), str(store.folder)],
        env=pollex.environment(),
        capture_output=True,
        timeout=SOON,
        check=False,
    )
    assert [row[0] for row in rows(done)] == ["nomic-embed-text:latest", "open:1"], done.stderr
    assert done.stderr.decode().count("cannot be read: Permission denied") == 2
    assert str(tmp_path / "shut") in done.stderr.decode()
    assert f"{LIBRARY}/secret" in done.stderr.decode()


def test_looks_where_ollama_usually_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If this fails, a store must be named that everybody has in the same place: a home, a volume, OLLAMA_MODELS."""
    places = {
        "named": "named",
        "home": "home/.ollama/models",
        "installer": "share/.ollama/models",
        "arch": "arch",
        "volume": "volumes/mimir_ollama_models/_data",
        "image": "volumes/ollama/_data/models",
    }
    for name, place in places.items():
        Ollama(tmp_path / place).add(f"{LIBRARY}/{name}/1", small({"general.name": name}))
    Ollama(tmp_path / "volumes" / "postgres" / "_data").add(f"{LIBRARY}/unrelated/1", OTHER)
    monkeypatch.setenv("OLLAMA_MODELS", str(tmp_path / "named"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr(modelfind, "HOMES", (str(tmp_path / "share"), str(tmp_path / "arch"), str(tmp_path / "none")))
    monkeypatch.setattr(modelfind, "VOLUMES", (str(tmp_path / "volumes"), str(tmp_path / "none")))
    found = modelfind.find()
    assert {model.name for model in found.models} == set(places)
    assert found.problems == []


def test_a_store_is_read_once(pollex: Pollex, store: Ollama, tmp_path: Path) -> None:
    """If this fails, every model is listed twice where OLLAMA_MODELS names the usual place, or a link to it."""
    (tmp_path / "link").symlink_to(store.folder)
    done = pollex("models", "find", str(store.folder), str(tmp_path / "link"), str(tmp_path))
    assert len(rows(done)) == 1


def test_no_model_is_an_error(pollex: Pollex, tmp_path: Path) -> None:
    """If this fails, a script takes a mistyped folder for an empty one, or nobody learns where was looked."""
    (tmp_path / "empty").mkdir()
    done = pollex("models", "find", str(tmp_path / "empty"), str(tmp_path / "nowhere"))
    assert (done.returncode, done.stdout) == (1, b"")
    said = done.stderr.decode()
    assert f"{tmp_path}/empty: is no Ollama store" in said
    assert f"{tmp_path}/nowhere: does not exist" in said
    assert f"no model was found; looked in {tmp_path}/empty, {tmp_path}/nowhere" in said
    told = pollex("models", "find", "--json", env={"OLLAMA_MODELS": str(tmp_path / "nowhere"), "HOME": str(tmp_path)})
    assert {"where": f"{tmp_path}/nowhere", "what": "does not exist"} in json.loads(told.stdout)["problems"]


def test_needs_no_service(pollex: Pollex, store: Ollama, tmp_path: Path) -> None:
    """If this fails, models on this machine cannot be listed while the client's configuration is broken."""
    config = tmp_path / "pollex" / "config.toml"
    config.parent.mkdir()
    config.write_text("url =")
    assert pollex("models", "find", str(store.folder)).returncode == 0
    assert pollex("models").returncode == 2


def test_an_option_in_the_wrong_place_is_refused(pollex: Pollex, store: Ollama) -> None:
    """If this fails, `pollex models --json find` prints a table to a script that reads JSON."""
    done = pollex("models", "--json", "find", str(store.folder))
    assert (done.returncode, done.stdout) == (2, b"")
    assert b"--json is an option of `pollex models` alone" in done.stderr


def test_the_list_of_the_service_is_as_before(pollex: Pollex, scripted: Callable[..., Scripted]) -> None:
    """If this fails, `pollex models` alone no longer asks the service, or not with its options."""
    server = scripted(Answer.json(200, [{"id": "a", "name": "A", "provider": "p"}]))
    done = pollex("models", "--json", "--url", server.url)
    assert json.loads(done.stdout) == [{"id": "a", "name": "A", "provider": "p"}]
    assert [asked.path for asked in server.asked] == ["/api/models"]


def test_links_have_readable_names(pollex: Pollex, store: Ollama, tmp_path: Path) -> None:
    """If this fails, a model has to be served by the hash of its file."""
    store.add("hf.co/someone/small/q4", OTHER)
    store.manifest(f"{LIBRARY}/llava/7b", [store.layer(NOMIC, PROJECTOR)])
    folder = tmp_path / "new" / "links"
    done = pollex("models", "find", str(store.folder), "--link", str(folder))
    assert (done.returncode, done.stderr) == (0, b"")
    assert rows(done) == [
        ["made", f"{folder}/{name}", str(store.blob(data))]
        for name, data in (
            ("hf.co-someone-small-q4-Q4_K_M.gguf", OTHER),
            ("llava-7b-projector-F16.gguf", NOMIC),
            ("nomic-embed-text-latest-F16.gguf", NOMIC),
        )
    ]
    assert (folder / "nomic-embed-text-latest-F16.gguf").read_bytes() == NOMIC


def test_linking_again_changes_what_changed(pollex: Pollex, store: Ollama, tmp_path: Path) -> None:
    """If this fails, a second run fails, or a link goes on to a file that `ollama pull` has replaced."""
    store.add(f"{LIBRARY}/other/1", OTHER)
    link = ("models", "find", str(store.folder), "--link", str(tmp_path / "links"))
    pollex(*link)
    store.blob(NOMIC).unlink()
    pulled = small({"general.architecture": "nomic-bert", "general.name": "newer"})
    store.add(f"{LIBRARY}/nomic-embed-text/latest", pulled)
    done = pollex(*link)
    assert done.returncode == 0
    assert [row[0] for row in rows(done)] == ["changed", "kept"]
    assert (tmp_path / "links" / "nomic-embed-text-latest-F16.gguf").read_bytes() == pulled
    assert [row[0] for row in rows(pollex(*link))] == ["kept", "kept"]


@pytest.mark.parametrize("kind", ["file", "folder", "link", "broken link"])
def test_nothing_of_anybody_else_is_replaced(pollex: Pollex, store: Ollama, tmp_path: Path, kind: str) -> None:
    """If this fails, a model that somebody downloaded by hand is lost."""
    store.add(f"{LIBRARY}/other/1", OTHER)
    taken = tmp_path / "links" / "nomic-embed-text-latest-F16.gguf"
    taken.parent.mkdir()
    (tmp_path / "mine.gguf").write_text("mine")
    match kind:
        case "file":
            taken.write_text("mine")
        case "folder":
            taken.mkdir()
        case "link":
            taken.symlink_to(tmp_path / "mine.gguf")
        case _:
            taken.symlink_to("nowhere.gguf")
    before = taken.lstat()
    done = pollex("models", "find", str(store.folder), "--link", str(taken.parent), "--json")
    assert done.returncode == 1
    assert [link["done"] for link in json.loads(done.stdout)["links"]] == ["refused", "made"]
    assert (taken.lstat().st_ino, taken.lstat().st_mode) == (before.st_ino, before.st_mode)
    assert (tmp_path / "mine.gguf").read_text() == "mine"


def test_links_inside_a_store_survive_its_move(pollex: Pollex, store: Ollama, tmp_path: Path) -> None:
    """If this fails, links in a volume lead nowhere in the container that mounts it at another path."""
    pollex("models", "find", str(store.folder), "--link", str(store.folder / "by-name"))
    store.folder.rename(tmp_path / "mounted")
    assert (tmp_path / "mounted" / "by-name" / "nomic-embed-text-latest-F16.gguf").read_bytes() == NOMIC


def test_two_files_never_share_a_link(pollex: Pollex, store: Ollama, tmp_path: Path) -> None:
    """If this fails, one of two models is reachable by name, and which one depends on the order of the stores."""
    second = Ollama(tmp_path / "second")
    other = small({"general.architecture": "nomic-bert", "general.name": "another"})
    second.add(f"{LIBRARY}/nomic-embed-text/latest", other)
    stores = [str(store.folder), str(second.folder)]
    for order in (stores, stores[::-1]):
        pollex("models", "find", *order, "--link", str(tmp_path / "links"))
    links = {link.name: link.read_bytes() for link in (tmp_path / "links").iterdir()}
    assert links == {
        f"nomic-embed-text-latest-F16-{blob.name.removeprefix('sha256-')[:12]}.gguf": data
        for blob, data in ((store.blob(NOMIC), NOMIC), (second.blob(other), other))
    }


def test_a_folder_for_links_that_cannot_be(pollex: Pollex, store: Ollama, tmp_path: Path) -> None:
    """If this fails, --link with a wrong path ends in a traceback."""
    (tmp_path / "file").write_text("")
    assert pollex("models", "find", str(store.folder), "--link", str(tmp_path / "file")).returncode == 2
    done = pollex("models", "find", str(store.folder), "--link", str(tmp_path / "file" / "below"))
    assert (done.returncode, b"cannot be made: Not a directory" in done.stderr) == (2, True)
