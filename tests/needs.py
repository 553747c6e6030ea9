"""What the tests need, by folder, file and fixture: their marks, and the commands that Debian packages bring.

Marks are `root`, `board`, `engine`, `browser` and `slow`, as pyproject.toml explains them; what has none of them is
`unit`. Every other word is a command. A test that needs more than its file can be marked where it stands.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection
from pathlib import Path

ROOT = Path(__file__).parent

MARKS = frozenset({"root", "board", "engine", "browser", "slow"})

_COMPILES = "slow c++ cmake ninja patch"

FILES = {
    "bench": "",
    "bench/test_sass.py": "slow clang++-14",
    "board": "root /usr/sbin/sshd",
    "board/test_bare.py": "board engine slow",
    "browser": "browser chromium|google-chrome node",
    "cli": "",
    "cli/test_config.py": "engine",
    "cli/test_gguf.py": "slow",
    "cli/test_lists.py": "zsh",
    "cli/test_programs.py": "slow emacs kak mutt nvim vim",
    "contract": "engine root /usr/sbin/sshd",
    "contract/test_text.py": "",
    "dev": "",
    "dev/test_compose_config.py": "slow",
    "dev/test_compose_up.py": "root slow dockerd runc",
    "dev/test_up.py": "root engine slow docker-registry dockerd runc",
    "e2e": "board engine slow",
    "e2e/test_oldest.py": "board engine slow objdump",
    "embeddings": f"{_COMPILES} /usr/bin/torchrun",
    "fuzz": "slow",
    "host": f"{_COMPILES} curl",
    "host/test_board.py": "board",
    "host/test_faults.py": "board openssl",
    "host/test_model.py": f"{_COMPILES} curl openssl",
    "host/test_oci.py": "slow curl docker-registry openssl",
    "host/test_packages.py": "",
    "host/test_site.py": "openssl",
    "host/test_substitute.py": "curl openssl",
    "host/test_speed.py": "",
    "host/test_tegra.py": "board",
    "host/test_upgrade.py": "board",
    "image": "root slow /usr/bin/torchrun c++ docker-registry dockerd openssl qemu-aarch64-static runc update-binfmts",
    "image/test_emulation.py": "",
    "image/test_secrets.py": "root engine slow docker-registry runc",
    "image/test_stand_in.py": "",
    "infra": "systemd-analyze",
    "infra/test_bundle.py": "slow",
    "infra/test_fleet.py": "/usr/sbin/haproxy ssh systemd-analyze",
    "infra/test_sign.py": "engine openssl",
    "languagetool": "",
    "languagetool/test_libreoffice.py": "slow soffice",
    "patches": f"{_COMPILES} clang++-14",
    "patches/test_structure.py": "",
    "provider": "root /usr/sbin/sshd",
    "provider/test_hostile.py": "root /usr/sbin/sshd fish",
    "provider/test_lifecycle.py": "board engine",
    "provider/test_server.py": "",
    "provider/test_values.py": "",
    "sandbox": "board",
    "sandbox/test_fetch.py": "slow",
    "sandbox/test_fleet.py": "",
    "sandbox/test_serving.py": "",
    "sandbox/test_source.py": "",
    "service": "",
    "service/test_boards.py": "/usr/sbin/haproxy",
    "toolchain": "",
    "toolchain/test_activate.py": "zsh",
    "toolchain/test_shim.py": "engine",
    "toolchain/test_state.py": "engine",
}
"""Folder or file below tests/ to what its tests need; a file's row stands in place of its folder's."""

FIXTURES = {
    "adopting": "board",
    "binary": _COMPILES,
    "compose": "slow",
    "either": _COMPILES,
    "idle": "board",
    "llama": _COMPILES,
    "make_project": "engine",
    "toolchain": "engine",
}
"""Fixture to what its tests need besides."""


def needs(file: Path, fixtures: Collection[str], own: Collection[str]) -> tuple[set[str], set[str]]:
    """Marks and commands of a test.

    Args:
        file: of the test.
        fixtures: that it takes, also by way of others.
        own: marks where it stands.

    Raises:
        LookupError: neither the file nor its folder has a row.
    """
    place = file.relative_to(ROOT)
    row = FILES.get(str(place), FILES.get(place.parts[0]))
    if row is None:
        raise LookupError(f"tests/needs.py has no row for tests/{place}: say what its tests need")
    words = set(shlex.split(" ".join([row, *(FIXTURES.get(name, "") for name in fixtures)])))
    marks = (words | set(own)) & MARKS
    return marks or {"unit"}, words - MARKS


FOREIGN = re.compile(
    r"(unshare|systemd-nspawn|ip|iptables|mount|dockerd|docker-registry|buildkitd|sshd|pulumi|chrom\w*)"
)
"""Programs that no test that is `unit` may start by their plain name: it needs more than it says."""
