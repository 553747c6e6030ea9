"""The page's pure modules, tested by node's own test runner."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from pollex.web import STATIC

TESTS = sorted((Path(__file__).parent / "js").glob("*.test.js"))


@pytest.mark.parametrize("tests", TESTS, ids=lambda path: path.name)
def test_modules(tests: Path, tmp_path: Path) -> None:
    """A diff or a stream read wrongly would change a person's text without their seeing it."""
    node = shutil.which("node")
    if node is None:
        pytest.fail("no node: apt-get install nodejs")
    # outside a browser a .js file is a module only where a package.json says so
    (tmp_path / "package.json").write_text(json.dumps({"type": "module"}))
    for module in [*STATIC.glob("*.js"), tests]:
        shutil.copy(module, tmp_path)
    done = subprocess.run([node, "--test", tests.name], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
