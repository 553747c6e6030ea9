"""Which options are fastest is measured on the host, and what the fastest computes is judged.

llama-bench and llama-server are scripts here, in the store as if they had been built.
"""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from infra import proof
from tests.host.conftest import KEY, Host

SERVER = f"{KEY}-llama-server"
BENCH = sha256(f"{KEY} llama-bench".encode()).hexdigest()[:32]

MEASURES = """#!/bin/sh
# Half the threads decode twice as fast, small batches read faster, and there is no -fa.
prompt=100 decode=10
while [ $# -gt 0 ]; do
    case $1=$2 in
    -t=1) decode=20 ;;
    -ub=128) prompt=150 ;;
    -fa=1) echo 'unsupported' >&2 && exit 1 ;;
    esac
    shift
done
printf '{"n_prompt": 256, "n_gen": 0, "avg_ts": %s}\\n{"n_prompt": 0, "n_gen": 32, "avg_ts": %s}\\n' "$prompt" "$decode"
"""
UNIT = "[Service]\nExecStart=/usr/local/bin/llama-server \\\n    -m /opt/x.gguf \\\n    -ngl 0 \\\n    -t 2\n"


@pytest.fixture
def live(host: Host) -> Host:
    """A host on which a generation is live, with both programs in the store."""
    generation = host.root / "generations/g"
    files = {
        generation / "units/llama-server.service": UNIT,
        generation / "needs": f"llama-server.service\t/opt/pollex/store/{SERVER}\n",
        generation / "links": f"/opt/x.gguf\t{host.root}/x.gguf\n",
        host.root / "x.gguf": "GGUF",
        host.root / f"drv/{SERVER}/env": f"kind=build\nkey={KEY}\nname=llama-server\ntarget=llama-server\n",
        host.root / f"store/{SERVER}/bin/llama-server": "#!/bin/sh\nexit 1\n",
        host.root / f"store/{BENCH}-llama-bench/bin/llama-bench": MEASURES,
    }
    for path, text in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o755)
    (host.root / "current").symlink_to("generations/g")
    (host.root / "nproc").mkdir()
    (host.root / "nproc/nproc").write_text("#!/bin/sh\necho 2\n")
    (host.root / "nproc/nproc").chmod(0o755)
    host.environment["PATH"] = f"{host.root}/nproc:{host.environment['PATH']}"
    return host


def facts(host: Host) -> dict[str, Any]:
    """The facts that `status` shows."""
    return dict(host.json("status", "--json")["facts"])


def test_the_fastest_is_found_and_shown(live: Host) -> None:
    """If this fails, a board runs with settings that cost its owner seconds a text, and `refresh` shows none better."""
    assert "tuned" not in facts(live)
    answer = live.json("tune")
    assert answer["winner"] == "-t 1 -ub 128"
    assert answer["milliseconds"] == 300 / 150 * 1000 + 200 / 20 * 1000
    assert answer["before"] == 300 / 100 * 1000 + 200 / 10 * 1000
    assert set(answer["table"]) >= {"-t 2 -ub 512", "-t 1 -ub 512", "-t 1 -ub 256", "-t 1 -ub 128"}
    assert json.loads((live.root / "facts/tune.json").read_text()) == answer
    assert (live.root / "facts/tune.env").read_text() == "POLLEX_TUNED=-t 1 -ub 128\n"
    assert facts(live)["tuned"] == "-t 1 -ub 128"


def test_what_computes_wrongly_never_wins(live: Host) -> None:
    """If this fails, a fast path that garbles texts is adopted."""
    for name, text in proof.sections().items():
        path = live.root / f"drv/{SERVER}" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    done = live.run("tune")
    assert done.returncode == 5
    assert "computes wrongly" in done.stderr
    assert not (live.root / "facts/tune.env").exists()


def test_a_bench_that_fails_is_said(live: Host) -> None:
    """If this fails, nobody learns why nothing was found."""
    (live.root / f"store/{BENCH}-llama-bench/bin/llama-bench").write_text("#!/bin/sh\necho broken >&2\nexit 1\n")
    done = live.run("tune")
    assert done.returncode == 1
    assert "nothing could be measured" in done.stderr
    assert "broken" in done.stderr


def test_nothing_live(host: Host) -> None:
    """If this fails, the tool measures something that nobody runs."""
    done = host.run("tune")
    assert done.returncode == 1
    assert "nothing is live" in done.stderr
    assert not Path(host.root / "facts").exists()
