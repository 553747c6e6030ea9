"""A model file that the host makes out of another one.

The quantiser is a script here, in the store as if it had been built; tests/e2e/test_life.py has the real one.
"""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path

import pytest

from infra.hosttools.pollex_host import manifest
from infra.hosttools.pollex_host.manifest import Build, Model, Quantised, Source
from sandbox import mirror
from tests.host.conftest import Host, model_manifest

KEY, SOURCE, TOOL = "a" * 32, "b" * 32, "c" * 32
FILE = "small.to-Q4_0-Q8_0-Q8_0.gguf"
CONTENT = b"GGUF of high precision" * 1000
OPTIONS = ("--output-tensor-type", "q8_0", "--token-embedding-type", "q8_0")

WRITES = """#!/bin/sh
[ "$1" != --version ] || { echo 'usage: llama-quantize …'; exit 1; }
printf '%s\\n' "$@" >"$0.asked"
for out; do case $out in *build/*/part) break ;; esac; done
echo '[   1/   2] blk.0'
printf 'GGUF made\\n' >"$out"
"""
REFUSES = """#!/bin/sh
echo 'llama_model_quantize: failed to quantize: requantizing from type q4_1 is disabled'
exit 1
"""
EMPTY = "#!/bin/sh\nexit 0\n"


def quantised(content: bytes, mirrors: list[str], **changes: object) -> str:
    """The manifest of a model that is made out of one with that content, with some fields changed."""
    source = manifest.parse(model_manifest(content, mirrors, key=SOURCE))
    assert isinstance(source, Model)
    tree = Source(commit="d" * 40, tree="e" * 40, number=1, mirrors=())
    made = Quantised(
        key=KEY,
        name="model",
        file=FILE,
        arguments=OPTIONS,
        type="Q4_0",
        source=source,
        tool=Build(key=TOOL, name="llama-quantize", target="llama-quantize", source=tree),
    )
    return json.dumps({**manifest.plain(made), **changes})


@pytest.fixture
def source(tmp_path: Path) -> str:
    """Where the file of high precision can be had."""
    file = tmp_path / "small.gguf"
    file.write_bytes(CONTENT)
    return file.as_uri()


def give_tool(host: Host, text: str) -> Path:
    """A quantiser in the store."""
    program = host.root / f"store/{TOOL}-llama-quantize/bin/llama-quantize"
    program.parent.mkdir(parents=True)
    program.write_text(text)
    program.chmod(0o755)
    return program


def test_a_model_is_made(odd_host: Host, source: str) -> None:
    """If this fails, a board cannot serve a model that is made for it."""
    program = give_tool(odd_host, WRITES)
    answer = odd_host.json("ensure-model", stdin=quantised(CONTENT, [source]))
    assert (answer["how"], answer["key"]) == ("quantised", KEY)
    path = Path(answer["path"])
    made = (path / FILE).read_bytes()
    assert made == b"GGUF made\n"
    assert (path / ".sha256sums").read_text() == f"{sha256(made).hexdigest()}  {FILE}\n"
    *options, taken, _, type_, _ = program.with_suffix(".asked").read_text().splitlines()
    assert (tuple(options), type_) == (OPTIONS, "Q4_0")
    assert taken == str(odd_host.root / f"store/{SOURCE}-model/small.gguf")
    assert odd_host.json("ensure-model", KEY)["how"] == "present"


def test_it_is_made_again_from_its_manifest_alone(host: Host, source: str) -> None:
    """If this fails, a damaged model of this kind can only be mended by the machine that runs pulumi."""
    give_tool(host, WRITES)
    host.json("ensure-model", stdin=quantised(CONTENT, [source]))
    for path in (f"store/{KEY}-model", f"store/{SOURCE}-model"):
        (host.root / path).rename(host.root / path.replace("/", "/.gone-"))
    for path in (f"drv/{SOURCE}-model", f"drv/{TOOL}-llama-quantize"):
        (host.root / path).rename(host.root / path.replace("/", "/.gone-"))
    assert host.json("ensure-model", KEY)["how"] == "quantised"


def test_a_wrong_source_is_refused(host: Host, tmp_path: Path) -> None:
    """If this fails, a model is made of bytes that nobody pinned."""
    give_tool(host, WRITES)
    wrong = tmp_path / "wrong.gguf"
    wrong.write_bytes(CONTENT[:-1] + b"?")
    done = host.run("ensure-model", stdin=quantised(CONTENT, [wrong.as_uri()]))
    assert done.returncode == 3
    assert not (host.root / f"store/{KEY}-model").exists()


@pytest.mark.parametrize(
    ("tool", "says"), [(REFUSES, "pollex:model.quantise.requantise"), (EMPTY, "it wrote no GGUF file")]
)
def test_a_quantiser_that_fails(host: Host, source: str, tool: str, says: str) -> None:
    """If this fails, half a model is served, or nobody learns why there is none."""
    give_tool(host, tool)
    done = host.run("ensure-model", stdin=quantised(CONTENT, [source]))
    assert done.returncode == 5
    assert says in done.stderr
    assert not (host.root / f"store/{KEY}-model").exists()


def test_another_host_need_not_make_it(host: Host, source: str, tmp_path: Path) -> None:
    """If this fails, every board spends minutes on what one has made already."""
    give_tool(host, WRITES)
    text = quantised(CONTENT, [source])
    host.json("ensure-model", stdin=text)
    with (tmp_path / f"{KEY}-model.tar.gz").open("wb") as archive:
        host.pack(f"{KEY}-model", archive)
    mirror.vouch(tmp_path / f"{KEY}-model.tar.gz", kind="quantised")
    other = Host(tmp_path / "other")
    with mirror.Mirror(tmp_path) as served:
        caches = mirror.substituters(served.url)
        answer = other.json("ensure-model", stdin=quantised(CONTENT, [], substituters=caches))
    assert answer["how"] == "substituted"
    assert (Path(answer["path"]) / FILE).read_bytes() == b"GGUF made\n"
