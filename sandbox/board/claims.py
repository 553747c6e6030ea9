"""Who holds which address: one link per board in a folder of the machine, so that checkouts cannot collide unnoticed.

`/run/pollex/<index>` points at the folder of the board that holds the index. The same lock guards what the boards
share: the kernel's switch for forwarding packets.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from infra.toolchain.once import locked
from sandbox.board.guest import Guest
from sandbox.board.network import FORWARD, INDICES, Network
from sandbox.machine import SandboxError, run, say

_CLAIMS = Path("/run/pollex")
_FORMERLY = _CLAIMS / "ip_forward"
"""What the forwarding switch said before the first board."""

RESERVED = 0
"""The index of the board called `sandbox`, whose address stands in the stack file."""


def claims() -> dict[int, Path]:
    """Index → folder of the board that holds it, for all checkouts of this machine."""
    if not _CLAIMS.is_dir():
        return {}
    # what a process that was killed in `_point` has left is no claim
    links = [link for link in sorted(_CLAIMS.iterdir()) if link.name.isdecimal() and link.is_symlink()]
    return {int(link.name): link.readlink() for link in links}


def claim(folder: Path, index: int | None) -> int:
    """Hold an index (None: the first free one) for the board in `folder`, with its network laid anew.

    What a former holder left behind is cleaned away first; one that still runs is left alone.

    Raises:
        SandboxError: the index is held by a running board of another folder, or its addresses by something else.
    """
    with _machine():
        held = claims()
        if index is None:
            index = _free(held)
        holder = held.get(index)
        network = Network(index)
        if holder is not None and holder != folder:
            if holder.is_dir() and Guest(index).processes():
                raise SandboxError(
                    f"{network.address} is in use by the running board {holder.name} of {_checkout(holder)}: "
                    f"take it down there first (python -m sandbox.board down {holder.name})"
                )
            why = "is off" if holder.is_dir() else "was deleted without being taken down"
            say(f"taking over {network.address} from the board {holder}, which {why}")
        if network.taken():
            raise SandboxError(f"{network.gateway} is the address of another link of this machine; see: ip address")
        Guest(index).kill()
        _point(index, folder)
        _forward()
        network.up()
    return index


def release(folder: Path, index: int | None) -> None:
    """Take processes, network and claim of a board away; whatever is already gone is fine, another's is left alone.

    Args:
        folder: of the board.
        index: as it is written there; None if the board was never finished.
    """
    with _machine():
        held = claims()
        ours = {number for number, holder in held.items() if holder == folder}
        if index is not None and index not in held:
            ours.add(index)
        for number in ours:
            Guest(number).kill()
            Network(number).down()
            (_CLAIMS / str(number)).unlink(missing_ok=True)
        if not claims():
            _restore()


def _free(held: dict[int, Path]) -> int:
    """The lowest index that nobody holds, or whose holder was deleted without being taken down."""
    for index in INDICES:
        in_use = held[index].is_dir() if index in held else Guest(index).processes()
        if index == RESERVED or in_use or Network(index).taken():
            continue
        return index
    raise SandboxError(
        f"all {len(INDICES) - 1} stand-in boards of this machine are in use; see: python -m sandbox.board list"
    )


def _checkout(folder: Path) -> Path:
    """The checkout of a board's folder, which is <checkout>/.sandbox/boards/<name>."""
    return folder.parents[2]


def _point(index: int, folder: Path) -> None:
    """Make the claim in one step."""
    fresh = _CLAIMS / f".{index}"
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(folder)
    fresh.replace(_CLAIMS / str(index))


def _forward() -> None:
    """Let this machine pass packets on, and note what was there before."""
    formerly = FORWARD.read_text()
    if formerly.strip() == "0":
        _FORMERLY.write_text(formerly)
        FORWARD.write_text("1\n")


def _restore() -> None:
    """Leave the machine as it was before the first board."""
    if _FORMERLY.exists():
        FORWARD.write_text(_FORMERLY.read_text())
        _FORMERLY.unlink()
    for half_made in _CLAIMS.glob(".*"):
        half_made.unlink()
    # Made by ip and by boot.sh; whoever else uses them keeps them from being removed.
    run(["umount", "/run/netns"], check=False)
    for folder in ("/run/netns", "/run/systemd/nspawn"):
        with suppress(OSError):
            Path(folder).rmdir()


@contextmanager
def _machine() -> Iterator[None]:
    """One at a time on this machine. /run is held and not a file of ours, because that would be left behind."""
    with locked(_CLAIMS.parent, "a stand-in board"):
        _CLAIMS.mkdir(exist_ok=True)
        try:
            yield
        finally:
            with suppress(OSError):  # still claims in it
                _CLAIMS.rmdir()
