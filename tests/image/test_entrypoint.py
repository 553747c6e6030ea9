"""The entrypoint finds the model that is meant, and becomes llama-server with what it needs."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from sandbox.serving import free_port
from tests.cli.ggufs import Ollama
from tests.image.entrypoint import (
    ALONE,
    Ended,
    arm64,  # noqa: F401 - a fixture
    container,
    emulated,
    gguf,
    programs,  # noqa: F401 - a fixture
    refused,
    root,
    start,
)
from tests.waiting import wait_until

Start = Callable[..., Ended]


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """A folder with plain files, and an Ollama store with three models."""
    folder = tmp_path / "models"
    gguf(folder / "smol.gguf", context_length=2048)
    gguf(folder / "de/klein.gguf")
    bert = {"embedding_length": 768, "context_length": 2048, "pooling_type": 1, "_file_type": 1}
    for name in ("registry.ollama.ai/library/nomic-embed-text/latest", "registry.ollama.ai/user/model/tag"):
        pull(folder, name, architecture="nomic-bert", **bert)
    pull(folder, "hf.co/user/model/Q8_0")
    return folder


def pull(folder: Path, name: str, architecture: str = "llama", **metadata: int) -> Path:
    """Put a model into an Ollama store as `ollama pull` does; returns its blob."""
    made = gguf(folder / "blobs" / "new", architecture, **metadata)
    content = made.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    layer = {
        "mediaType": "application/vnd.ollama.image.model",
        "digest": f"sha256:{digest}",
        "size": len(content),
    }
    manifest = folder / "manifests" / name
    manifest.parent.mkdir(parents=True, exist_ok=True)
    manifest.write_text(json.dumps({"schemaVersion": 2, "layers": [layer]}))
    return made.rename(made.with_name(f"sha256-{digest}"))


@pytest.fixture(params=["native", "arm64"])
def begin(request: pytest.FixtureRequest, models: Path) -> Start:
    """`begin(*args, MODEL=…)`: the entrypoint with those models, on this machine and on an emulated one."""
    native = request.param == "native"
    folder: Path = request.getfixturevalue("programs" if native else "arm64")

    def run(*args: str, **variables: str) -> Ended:
        before = [*ALONE, *([] if native else emulated("cortex-a72"))]
        return start(folder, *args, variables={"MODELS_DIR": str(models), **variables}, before=before)

    return run


@pytest.mark.parametrize(
    ("model", "file", "alias"),
    [
        ("smol", "smol.gguf", "smol"),
        ("smol.gguf", "smol.gguf", "smol"),
        ("./smol.gguf", "smol.gguf", "smol"),
        ("de/klein", "de/klein.gguf", "klein"),
        ("nomic-embed-text", "", "nomic-embed-text"),
        ("nomic-embed-text:latest", "", "nomic-embed-text:latest"),
        ("library/nomic-embed-text", "", "library/nomic-embed-text"),
        (
            "registry.ollama.ai/library/nomic-embed-text:latest",
            "",
            "registry.ollama.ai/library/nomic-embed-text:latest",
        ),
        ("user/model:tag", "", "user/model:tag"),
        ("hf.co/user/model:Q8_0", "", "hf.co/user/model:Q8_0"),
        ("huggingface.co/user/model:Q8_0", "", "huggingface.co/user/model:Q8_0"),
    ],
)
def test_every_name_that_a_model_has(begin: Start, models: Path, model: str, file: str, alias: str) -> None:
    """If this fails, a model that is there is not found, or is served under a name that no client asks for."""
    end = begin(MODEL=model)
    assert end.status == 0, end.said
    path = Path(end.option("--model"))
    assert path == models / file if file else path.parent == models / "blobs"
    assert end.option("--alias") == alias
    assert f"entrypoint: {alias}: " in end.said


def test_a_path(begin: Start, tmp_path: Path) -> None:
    """If this fails, a file outside the models' folder cannot be served, however it is named."""
    path = str(gguf(tmp_path / "elsewhere" / "x y.gguf"))
    for given in (begin(MODEL=path), begin(LLAMA_ARG_MODEL=path), begin("-m", path), begin("--model", path)):
        assert given.status == 0, given.said
        assert given.server is not None
        assert given.option("--alias") == "x y"


@pytest.mark.parametrize("deeper", ["models", ".ollama/models"])
def test_ollama_home(begin: Start, models: Path, tmp_path: Path, deeper: str) -> None:
    """If this fails, Ollama's own volume or a whole home, with the store one or two folders deeper, cannot be used."""
    home = tmp_path / "home"
    (home / deeper).parent.mkdir(parents=True)
    models.rename(home / deeper)
    end = begin(MODEL="nomic-embed-text", MODELS_DIR=str(home))
    assert Path(end.option("--model")).parent == home / deeper / "blobs"


def test_what_the_file_says_is_used(begin: Start) -> None:
    """If this fails, embeddings are off, pooled wrongly or cut, or a chat model is started as if it embedded."""
    end = begin(MODEL="nomic-embed-text")
    assert end.server is not None
    expected = "--ctx-size 2048 --embeddings --pooling mean --batch-size 2048 --ubatch-size 2048"
    assert " ".join(end.server["args"]).endswith(expected)
    assert "nomic-bert, F16, 768 dimensions" in end.said
    assert "pooling mean, as the file says" in end.said
    end = begin(MODEL="smol")
    assert end.server is not None
    assert " ".join(end.server["args"]).endswith(
        "--host 0.0.0.0 --port 8080 --metrics --cache-ram 0 --threads-http 33 --parallel 1 --ctx-size 2048"
    )


def test_the_users_options_win(begin: Start) -> None:
    """If this fails, a setting of llama-server's cannot be changed, or an empty one stops it."""
    end = begin(
        *("--ctx-size", "512", "--seed", "7"),
        MODEL="smol",
        LLAMA_ARG_PORT="9090",
        LLAMA_ARG_THREADS="3",
        LLAMA_ARG_BATCH="",
        OTHER="",
    )
    assert end.server is not None, end.said
    args, env = end.server["args"], end.server["env"]
    assert args[-4:] == ["--ctx-size", "512", "--seed", "7"]
    assert "--port" not in args
    assert args.count("--ctx-size") == 1
    assert {"LLAMA_ARG_PORT=9090", "LLAMA_ARG_THREADS=3", "OTHER="} <= set(env)
    assert not [pair for pair in env if pair.startswith("LLAMA_ARG_BATCH")]


def test_questions_need_no_model(begin: Start) -> None:
    """If this fails, nobody can ask the image for its version or its options."""
    end = begin("--version")
    assert end.server is not None, end.said
    assert end.server["args"][1:] == ["--version"]


def test_an_unknown_name_is_told_the_known_ones(begin: Start, models: Path) -> None:
    """If this fails, a typing error is answered without what would be right."""
    names = "there are de/klein, hf.co/user/model:Q8_0, nomic-embed-text, smol, user/model:tag"
    refused(begin(MODEL="nomic"), 4, f"there is no model nomic in {models}: {names}")
    refused(begin(), 2, f"MODEL is not set: {names}")
    refused(begin(MODEL=str(models)), 2, "is not a file", names)


def test_too_many_names_are_counted(begin: Start, models: Path) -> None:
    """If this fails, a large folder fills the screen with one error."""
    for number in range(40):
        gguf(models / f"m{number:02}.gguf")
    refused(begin(MODEL="x"), 4, "m17 and 25 more")


def test_nothing_there(begin: Start, tmp_path: Path) -> None:
    """If this fails, a volume that is not mounted looks like a wrong name."""
    refused(begin(MODEL="x", MODELS_DIR=str(tmp_path / "none")), 4, "is a volume mounted there?")
    (tmp_path / "empty").mkdir()
    refused(begin(MODEL="x", MODELS_DIR=str(tmp_path / "empty")), 4, "neither GGUF files nor an Ollama store")


@pytest.mark.parametrize("name", ["../outside", "de/../../outside", "x/../../../outside", "..", "/", "../models"])
def test_names_stay_in_the_folder(begin: Start, models: Path, name: str) -> None:
    """If this fails, a name reaches files that nobody meant to serve."""
    gguf(models.parent / "outside.gguf")
    end = begin(MODEL=name)
    assert end.server is None
    assert end.status in {2, 4}, end.said


def test_a_blob_that_is_missing(begin: Start, models: Path) -> None:
    """If this fails, half a pull looks like a crash of the server."""
    for blob in (models / "blobs").iterdir():
        blob.unlink()
    refused(
        begin(MODEL="nomic-embed-text"), 4, "nomic-embed-text: its blob", "is missing: ollama pull nomic-embed-text"
    )


def test_a_hostile_manifest(begin: Start, models: Path) -> None:
    """If this fails, a store from elsewhere can make the server read any file."""
    (models / "secret").write_bytes((models / "smol.gguf").read_bytes())
    manifest = models / "manifests/registry.ollama.ai/library/nomic-embed-text/latest"
    layer = {"mediaType": "application/vnd.ollama.image.model", "digest": "sha256:../../secret", "size": 100}
    manifest.write_text(json.dumps({"layers": [layer]}))
    refused(begin(MODEL="nomic-embed-text"), 3, "which is no SHA-256")
    manifest.write_text("{")
    refused(begin(MODEL="nomic-embed-text"), 3, f"the manifest {manifest} is damaged")


def test_a_store_of_a_newer_ollama(begin: Start, tmp_path: Path) -> None:
    """If this fails, models vanish when Ollama is updated to one that links manifests and lists several of them."""
    ollama = Ollama(tmp_path / "newer")
    made = gguf(tmp_path / "made", context_length=2048).read_bytes()
    child = ollama.layer(ollama.manifest("made", [ollama.layer(made)]).read_bytes())
    children = [
        {"digest": f"sha256:{'0' * 64}", "runner": "mlx", "format": "safetensors"},
        {"digest": child["digest"], "runner": "llamacpp", "format": "gguf"},
    ]
    listed = json.dumps({"mediaType": "application/vnd.ollama.manifest.list.v2+json", "manifests": children}).encode()
    ollama.layer(listed)
    link = ollama.folder / "manifests-v2/ollama.com/library/small/latest"
    link.parent.mkdir(parents=True)
    link.symlink_to(f"../../../../blobs/{ollama.blob(listed).name}")
    for name in ("small", "small:latest", "ollama.com/library/small", "registry.ollama.ai/library/small"):
        end = begin(MODEL=name, MODELS_DIR=str(ollama.folder))
        assert end.status == 0, end.said
        assert end.option("--model") == str(ollama.blob(made))
        assert end.option("--alias") == name
    ollama.blob(made).unlink()
    refused(begin(MODEL="small", MODELS_DIR=str(ollama.folder)), 4, "is missing: ollama pull small")
    refused(begin(MODEL="x", MODELS_DIR=str(ollama.folder)), 4, "there are small")


@pytest.mark.parametrize("model", ["smol", "{models}/smol.gguf", "nomic-embed-text"])
def test_the_hash_of_what_is_there(begin: Start, models: Path, model: str) -> None:
    """If this fails, a model that somebody exchanged in the volume is served although its hash was asked for."""
    name = model.format(models=models)
    file = Path(begin(MODEL=name).option("--model"))
    right = hashlib.sha256(file.read_bytes()).hexdigest()
    assert begin(MODEL=name, MODEL_SHA256=right.upper()).status == 0
    wrong = "0" * 64
    refused(begin(MODEL=name, MODEL_SHA256=wrong), 3, str(file), f"has SHA-256 {right}", f"MODEL_SHA256 says {wrong}")


def test_a_stop_while_it_hashes(programs: Path, tmp_path: Path) -> None:  # noqa: F811 - the fixture of that name
    """If this fails, a container whose model is hashed for minutes has to be killed."""
    image = root(tmp_path / "root", programs)
    with (image / "models/large.gguf").open("wb") as large:
        large.truncate(1 << 40)
    with container(image, variables={"MODEL": "large", "MODEL_SHA256": "0" * 64}) as running:
        wait_until(lambda: reads(running.pid), what="hashing")
        os.kill(running.pid, signal.SIGTERM)
        end = running.end()
    assert (end.status, end.server) == (0, None), end.said
    assert end.said == "entrypoint: stopped before llama-server was started\n"


def reads(pid: int) -> bool:
    """Whether a process has read some megabytes."""
    return int(Path(f"/proc/{pid}/io").read_text().split()[1]) > 1 << 22


@pytest.mark.parametrize("shares", [True, False], ids=["as llama-server", "alone"])
def test_a_port_that_is_taken(
    programs: Path,  # noqa: F811 - the fixture of that name
    models: Path,
    shares: bool,  # noqa: FBT001 - pytest gives it by name
) -> None:
    """If this fails, two servers on one network share a port, and each gets some of the other's requests."""
    with socket.create_server(("127.0.0.1", 0), reuse_port=shares) as taken:
        port = str(taken.getsockname()[1])
        variables = {"MODEL": "smol", "MODELS_DIR": str(models), "LLAMA_ARG_PORT": port}
        refused(start(programs, variables=variables), 1, f"0.0.0.0:{port} is taken by another program")
        refused(start(programs, "--host", "127.0.0.1", variables=variables), 1, f"127.0.0.1:{port} is taken")
        assert start(programs, "--host", "127.0.0.2", variables=variables).status == 0
    assert start(programs, variables=variables).status == 0


def test_a_file_that_is_cut_short(begin: Start, models: Path) -> None:
    """If this fails, a truncated model ends in pages of the server's log, or in a container that never ends."""
    whole = (models / "smol.gguf").read_bytes()
    for content, words in (
        (whole[:-1], "its tensors need"),
        (whole[:40], "within the header"),
        (b"", "within the header"),
        (b"<!doctype html>", "is not a GGUF file"),
    ):
        (models / "smol.gguf").write_bytes(content)
        refused(begin(MODEL="smol"), 3, str(models / "smol.gguf"), words)


def test_a_blob_that_is_cut_short(begin: Start, models: Path) -> None:
    """If this fails, a pull that filled the disk is served as far as it came."""
    for blob in (models / "blobs").iterdir():
        blob.write_bytes(blob.read_bytes()[:-1])
    refused(begin(MODEL="nomic-embed-text"), 3, "bytes instead of")


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"LLAMA_ARG_PORT": "http"}, 'the port "http" (LLAMA_ARG_PORT, --port) is not a number'),
        ({"MODE": "both"}, "MODE=both is none of auto, chat, embeddings and reranking"),
        ({"POOLING": "max"}, "POOLING=max is none of mean, cls and last"),
        ({"CONTEXT": "much"}, "CONTEXT=much is not a number above 0"),
        ({"MODE": "embeddings"}, "set POOLING to mean, cls or last"),
        ({"MODEL": "nomic-embed-text", "DIMENSIONS": "1024"}, "DIMENSIONS=1024: nomic-embed-text gives 768"),
        ({"MODEL": "nomic-embed-text", "MODE": "chat"}, "nomic-embed-text is an embedding model (nomic-bert)"),
        ({"MODEL": "ftp://host/x.gguf"}, "is not an http or https URL"),
        ({"HF_ENDPOINT": "hub"}, "HF_ENDPOINT=hub is not an http or https URL"),
        (
            {"MODEL": "", "LLAMA_ARG_HF_REPO": "u/m:Q8_0"},
            "LLAMA_ARG_HF_REPO=u/m:Q8_0: this llama-server downloads nothing by itself: set MODEL=hf.co/u/m:Q8_0",
        ),
        (
            {"MODEL": "", "LLAMA_ARG_MODEL_URL": "https://h/m.gguf"},
            "set MODEL=https://h/m.gguf, and MODEL_SHA256 instead",
        ),
    ],
)
def test_settings_that_cannot_be(begin: Start, variables: dict[str, str], words: str) -> None:
    """If this fails, a wrong setting is found out by the first client instead of at the start."""
    refused(begin(**{"MODEL": "smol", **variables}), 2, words)


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (
            ("--hf-repo", "u/m:Q4_0"),
            "--hf-repo u/m:Q4_0: this llama-server downloads nothing by itself: set MODEL=hf.co/u/m:Q4_0",
        ),
        (("-hf", "u/m"), "-hf u/m: "),
        (("--model_url", "https://h/m.gguf"), "set MODEL=https://h/m.gguf, and MODEL_SHA256"),
        (("--embd-bge-small-en-default",), "--embd-bge-small-en-default: "),
    ],
)
def test_what_another_build_would_download(begin: Start, args: tuple[str, ...], words: str) -> None:
    """If this fails, an option out of llama.cpp's own pages ends in "built without CURL", or is asked for a MODEL."""
    refused(begin(*args), 2, words)


def test_left_over_variables_are_said(begin: Start, models: Path) -> None:
    """If this fails, a variable that another image left in a compose file decides, and nobody knows what."""
    end = begin(
        "--pooling",
        "cls",
        MODEL="smol",
        LLAMA_ARG_MODEL=str(models / "de/klein.gguf"),
        CONTEXT="100",
        POOLING="mean",
        MODE="embeddings",
        LLAMA_ARG_CTX_SIZE="200",
    )
    assert Path(end.option("--pooling")).name == "cls", end.said
    for line in (
        f"WARNING: LLAMA_ARG_MODEL={models}/de/klein.gguf wins over MODEL=smol",
        "WARNING: LLAMA_ARG_CTX_SIZE=200 wins over CONTEXT=100",
        "WARNING: --pooling cls wins over POOLING=mean",
    ):
        assert line in end.said
    assert "wins over" not in begin(MODEL="smol", CONTEXT="100", LLAMA_ARG_CTX_SIZE="100").said


def test_a_model_in_parts(begin: Start, models: Path) -> None:
    """If this fails, a large model has to be named by its first part, or is not found to be incomplete."""
    for number in (1, 2, 3):
        gguf(models / f"big-0000{number}-of-00003.gguf", split_count=3)
    for name in (
        "big",
        "big.gguf",
        "big-00001-of-00003",
        "big-00002-of-00003.gguf",
        str(models / "big-00003-of-00003.gguf"),
    ):
        end = begin(MODEL=name)
        assert end.status == 0, end.said
        assert (end.option("--model"), end.option("--alias")) == (str(models / "big-00001-of-00003.gguf"), "big")
    refused(begin(MODEL="x"), 4, "there are big, de/klein, ")
    refused(begin(MODEL="big", MODEL_SHA256="0" * 64), 2, "big is in 3")
    (models / "big-00001-of-00003.gguf").unlink()
    (models / "big-00003-of-00003.gguf").unlink()
    refused(begin(MODEL="big"), 4, "is in 3 parts", "missing", "big-00001-of-00003.gguf, big-00003-of-00003.gguf")
    gguf(models / "alone.gguf", split_count=3)
    refused(begin(MODEL="alone"), 4, "is one of 3 parts of a model")


@pytest.mark.parametrize(
    ("file", "words"),
    [
        (
            {"architecture": "imaginary"},
            'm has the architecture "imaginary", which this image\'s llama.cpp does not know',
        ),
        ({"architecture": "gptoss"}, 'a form of Ollama\'s own (architecture "gptoss"): llama.cpp calls it gpt-oss'),
        ({"architecture": "gemma3"}, "m lacks gemma3.attention.layer_norm_rms_epsilon"),
        ({"tensor": "v.blk.0.attn_q.weight"}, "vision or hearing in the same file (tensor v.blk.0.attn_q.weight)"),
        ({"architecture": "clip", "tensor": "v.blk.0.attn_q.weight"}, "MODEL is the other file"),
    ],
)
def test_a_kind_that_cannot_be_loaded(begin: Start, models: Path, file: dict[str, str], words: str) -> None:
    """If this fails, a model newer than the image, or Ollama's own form of one, ends in a page of a loader's log."""
    gguf(models / "m.gguf", **file)
    refused(begin(MODEL="m"), 5, words)


def test_as_a_container(programs: Path, models: Path, tmp_path: Path) -> None:  # noqa: F811 - the fixture of that name
    """If this fails, signals do not reach the server, or a volume mounted read-only or a read-only root stops it."""
    image = root(tmp_path / "root", programs)
    (image / "models").rmdir()
    models.rename(image / "models")
    with container(image, "--port", str(free_port()), variables={"MODEL": "nomic-embed-text"}) as running:
        end = running.end()
    assert end.server is not None, end.said
    assert end.status == 0
    assert (end.server["pid"], end.server["uid"]) == (1, 65532)
    assert end.server["args"][0] == "/llama-server"
    assert end.option("--model").startswith("/models/blobs/sha256-")


def test_a_file_that_may_not_be_read(programs: Path, tmp_path: Path) -> None:  # noqa: F811 - the fixture of that name
    """If this fails, a wrong owner on a volume looks like a wrong name."""
    image = root(tmp_path / "root", programs)
    gguf(image / "models/smol.gguf").chmod(0o600)
    with container(image, variables={"MODEL": "smol"}) as running:
        refused(running.end(), 2, "user 65532 may not read /models/smol.gguf")


FORBIDDEN = {
    "the volume": ("models", "/models"),
    "its manifests": ("models/manifests", "/models/manifests"),
    "a host's manifests": ("models/manifests/registry.ollama.ai", "/models/manifests/registry.ollama.ai"),
    "its blobs": ("models/blobs", "/models/blobs"),
}


@pytest.mark.parametrize("what", FORBIDDEN)
def test_a_folder_that_may_not_be_entered(
    programs: Path,  # noqa: F811 - the fixture of that name
    models: Path,
    tmp_path: Path,
    what: str,
) -> None:
    """If this fails, a folder that only its owner may enter looks like a missing model, or `ollama pull` is advised."""
    image = root(tmp_path / "root", programs)
    (image / "models").rmdir()
    models.rename(image / "models")
    folder, named = FORBIDDEN[what]
    (image / folder).chmod(0o700)
    with container(image, variables={"MODEL": "nomic-embed-text"}) as running:
        refused(running.end(), 2, f"user 65532 may not enter {named} (drwx------, of user 0): chmod -R o+rX it")


def test_blobs_that_lie_elsewhere(begin: Start, models: Path, tmp_path: Path) -> None:
    """If this fails, somebody whose blobs are on another disk is told to pull a model that they have."""
    elsewhere = tmp_path / "elsewhere"
    (models / "blobs").rename(elsewhere)
    (models / "blobs").symlink_to(tmp_path / "gone")
    refused(
        begin(MODEL="nomic-embed-text"), 4, f"{models}/blobs is a link to {tmp_path}/gone, which is not there: mount"
    )
    (models / "lost.gguf").symlink_to("../gone.gguf")
    refused(begin(MODEL="lost"), 4, "lost.gguf is a link to ../gone.gguf, which is not there")
    (models / "blobs").unlink()
    (models / "blobs").symlink_to(elsewhere)
    assert begin(MODEL="nomic-embed-text").status == 0
