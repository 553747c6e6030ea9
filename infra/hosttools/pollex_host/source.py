"""The source tree of a build: from the first mirror that yields the tree hash, then patched.

A source is named by its git tree hash. Git checks every object it receives against its name, so a tree that has the
right hash has the right content, whatever commit and whatever mirror it came with.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable, Sequence
from typing import Any

from . import download, files, places, run
from .errors import Exit, HostToolError
from .manifest import Patch, Source
from .say import about_the_clock, curl_reason, last_lines

RECIPE = f"{places.HERE}/recipe.sh"
PATCH = ("patch", "--strip=1", "--fuzz=0", "--forward", "--force", "--no-backup-if-mismatch")
_BUNDLE = ("curl", "-fsSL", "--connect-timeout", "10", *download.RETRIES, *download.PATIENCE)
_BUNDLE_LIMIT = int(os.environ.get("POLLEX_BUNDLE_MB", "4096")) << 20
"""Bytes: many times llama.cpp's whole history."""
_PARTIAL_CLONES = (2, 25)
"""The first git whose partial clones are usable."""
_PROTOCOL_2 = (2, 18)
"""The first git that knows this protocol; JetPack's 2.17 refuses every fetch where it is asked for."""


class MirrorError(Exception):
    """A mirror cannot be used; the text says why."""


class OtherTreeError(MirrorError):
    """A mirror has another tree than the one that is named."""


def note(text: str) -> None:
    """A line for the build's log, which is this process's output; `pollex: ` marks what people are shown."""
    os.write(1, f"{text}\n".encode("utf-8", "replace"))


class Checkout:
    """A source in a build's folder: the tree in src/, its repository in git/ until the patches are in."""

    def __init__(self, work: str, source: Source, patches: Sequence[Patch], phase: Callable[[str, str], None]) -> None:
        """Nothing is fetched yet.

        Args:
            work: the folder, which is there.
            source: what is wanted.
            patches: what is changed in it, in order.
            phase: told what goes on: a word, and a detail.
        """
        self._work = work
        self._source = source
        self._patches = patches
        self._phase = phase
        self._said = ""

    def make(self) -> None:
        """Leave the verified and patched tree in src/; what was done before an interruption is not done again.

        Raises:
            HostToolError: no mirror has it, or a patch does not apply.
        """
        if not self.is_marked("source"):
            self._fetch()
            self.mark("source")
        if not self.is_marked("patched"):
            self._patch()
            self.mark("patched")
            for name in ("patching", "git"):
                files.remove(f"{self._work}/{name}")

    def mark(self, name: str) -> None:
        """Remember that a step is done for this tree, once what it made is on the disk."""
        files.sync(self._work)
        files.write(f"{self._work}/{name}", self._mark)

    def is_marked(self, name: str) -> bool:
        """For the same tree and the same part of it?"""
        return files.read(f"{self._work}/{name}") == self._mark

    @property
    def _mark(self) -> str:
        return "\n".join([self._source.tree, *self._source.folders]) + "\n"

    def _fetch(self) -> None:
        wrong = False
        for mirror in self._source.mirrors:
            form, _, url = mirror.partition(" ")
            self._phase("source", url)
            try:
                self._from_mirror(form, url)
            except MirrorError as error:
                note(f"pollex: mirror {url} {error}")
                wrong = wrong or isinstance(error, OtherTreeError)
            else:
                return
        for name in ("git", "src"):
            files.remove(f"{self._work}/{name}")
        if wrong:
            raise HostToolError(
                Exit.WRONG_BYTES,
                f"no mirror has the tree {self._source.tree}: correct pollex:source.tree or pollex:source.mirrors",
            )
        raise HostToolError(Exit.NO_MIRROR, "no mirror of the source could be used: see pollex:source.mirrors")

    def _from_mirror(self, form: str, url: str) -> None:
        """Check the tree out of one mirror."""
        if form == "bundle":
            self._new_repository()
            self._from_bundle(url)
            self._take()
            return
        # Only a remote that could not be used can do better without a filter.
        for filtered in (True, False) if _git_is(_PARTIAL_CLONES) else (False,):
            self._new_repository()
            try:
                self._from_git(url, filtered=filtered)
                self._take()
            except OtherTreeError:
                raise
            except MirrorError:
                if not filtered:
                    raise
            else:
                return

    def _take(self) -> None:
        tree = self._tree()
        if tree != self._source.tree:
            raise OtherTreeError(f"has the tree {tree or 'unknown'}, wanted {self._source.tree}")
        if not self._check_out():
            raise MirrorError(f"lacks a part of the tree: {self._said}")

    def _tree(self) -> str:
        status, said = run.output(*self._command("rev-parse", "--verify", "-q", "FETCH_HEAD^{tree}"), **self._quietly)
        return "" if status else said.decode().strip()

    def _new_repository(self) -> None:
        """Empty, and limited to the top-level files and the folders that the build reads."""
        for name in ("git", "src", "source", "patched"):
            files.remove(f"{self._work}/{name}")
        os.makedirs(f"{self._work}/src")
        self._git("init", "-q")
        self._git("config", "core.autocrlf", "false")
        if _git_is(_PROTOCOL_2):
            self._git("config", "protocol.version", "2")
        if self._source.folders:
            self._git("config", "core.sparseCheckout", "true")
            os.makedirs(f"{self._work}/git/info", exist_ok=True)
            patterns = ["/*", "!/*/", *(f"/{folder}/" for folder in self._source.folders)]
            files.write(f"{self._work}/git/info/sparse-checkout", "".join(f"{line}\n" for line in patterns))

    def _from_git(self, url: str, *, filtered: bool) -> None:
        """The one commit."""
        self._git("remote", "add", "mirror", url)
        if url.startswith("file://"):
            # A folder of this machine is served as a forge serves it.
            served = "-c uploadpack.allowFilter=true -c uploadpack.allowAnySHA1InWant=true -c 'safe.directory=*'"
            self._git("config", "remote.mirror.uploadpack", f"git {served} upload-pack")
        narrow = ["--filter=blob:none"] if filtered else []
        if not self._git("fetch", "-q", "--no-tags", "--depth", "1", *narrow, "mirror", self._source.commit):
            raise MirrorError(f"cannot be used: {about_the_clock(self._said)}")

    def _from_bundle(self, url: str) -> None:
        """A bundle names its own commits; the one with the right tree is taken, whatever its hash."""
        bundle = f"{self._work}/bundle"
        self._download(url, bundle)
        try:
            status, heads = run.output(*self._command("bundle", "list-heads", bundle), both=True, **self._quietly)
            if status:
                raise MirrorError(f"cannot be used: {''.join(last_lines(heads, 1))}")
            fetched = False
            for line in heads.decode("utf-8", "replace").splitlines():
                if not self._git("fetch", "-q", "--no-tags", bundle, line.partition(" ")[2]):
                    continue
                fetched = True
                if self._tree() == self._source.tree:
                    break
            if not fetched:
                raise MirrorError(f"cannot be used: {self._said}")
        finally:
            files.remove(bundle)

    def _download(self, url: str, to: str) -> None:
        """Resumed where a former attempt stopped, anew where the server refuses that."""
        part = f"{self._work}/bundle.part"
        if files.read(f"{part}.url") != f"{url}\n":
            files.remove(part)
        files.write(f"{part}.url", f"{url}\n")
        command = (*_BUNDLE, "-o", part, "-C", "-", "--", url)
        limit = download.no_larger_than(_BUNDLE_LIMIT)
        status, said = run.output(*command, both=True, preexec_fn=limit)
        if status in {22, 33}:
            # What is here is whole already, or the server does not resume.
            files.remove(part)
            status, said = run.output(*command, both=True, preexec_fn=limit)
        if status:
            if status == download.NOT_WRITTEN:
                # larger than any source is, or than the disk: there is nothing in it to go on from
                files.remove(part)
            raise MirrorError(f"cannot be used: {curl_reason(said, status)}")
        os.replace(part, to)

    def _check_out(self) -> bool:
        """The tree, anew."""
        for name in ("src", "git/index"):
            files.remove(f"{self._work}/{name}")
        os.makedirs(f"{self._work}/src")
        return self._git("read-tree", "-m", "-u", self._source.tree, cwd=f"{self._work}/src")

    def _patch(self) -> None:
        """Apply the series; a power cut in between means a fresh checkout."""
        self._phase("patch", "")
        begun = f"{self._work}/patching"
        if os.path.exists(begun) and not self._check_out():
            raise HostToolError(
                Exit.NO_MIRROR,
                f"cannot check the source out again: {self._said}",
                f"remove {self._work} and run again",
            )
        files.write(begun, "")
        for patch in self._patches:
            self._apply(patch)
        stamp = ("sh", RECIPE, "stamp", f"{self._work}/src", str(self._source.number), self._source.commit)
        subprocess.run(stamp, stdin=subprocess.DEVNULL, check=True)

    def _apply(self, patch: Patch) -> None:
        """Tried first, so that a patch that does not apply changes nothing."""
        for trying in (["--dry-run"], []):
            done = subprocess.run(
                [*PATCH, *trying, "-d", f"{self._work}/src"],
                input=patch.text.encode(),
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                check=False,
            )
            said = done.stdout.decode("utf-8", "replace")
            if done.returncode or not trying:
                note(said.rstrip("\n"))
            if done.returncode:
                raise HostToolError(
                    Exit.PATCH,
                    f"patches/{patch.name} does not apply to {refused(said)}",
                    "upstream changed those lines: see patches/README.md#moving-the-pin",
                )

    def _command(self, *arguments: str) -> tuple[str, ...]:
        """Git in the build's own repository, which is thrown away once the tree is patched."""
        place = (f"--git-dir={self._work}/git", f"--work-tree={self._work}/src")
        return ("git", *place, "-c", "http.lowSpeedLimit=1000", "-c", "http.lowSpeedTime=60", *arguments)

    @property
    def _quietly(self) -> dict[str, Any]:
        return {"env": {**os.environ, "GIT_TERMINAL_PROMPT": "0"}}

    def _git(self, *arguments: str, cwd: str | None = None) -> bool:
        """Whether it ended well; what it said last is kept for an error."""
        status, said = run.output(*self._command(*arguments), both=True, cwd=cwd, **self._quietly)
        self._said = "".join(last_lines(said, 1))
        return status == 0


def _git_is(least: tuple[int, int]) -> bool:
    """Whether this host's git is of that version or a later one."""
    _, said = run.output("git", "--version")
    match = re.search(rb"(\d+)\.(\d+)", said)
    return match is not None and (int(match[1]), int(match[2])) >= least


def refused(said: str) -> str:
    """The file that `patch` was at when it first refused a hunk, and the hunk."""
    file, missing = "", False
    for line in said.splitlines():
        if match := re.match(r"(?:checking|patching) file (.*)", line):
            file = match[1]
        elif re.match(r"can.t find file to patch", line):
            missing = True
        elif missing and line.startswith("|+++ "):
            name = line.split()[1].partition("/")[2]
            return (
                f"{name}, which is not there: the source does not have it, or the build does not check its folder out"
            )
        elif match := re.match(r"Hunk #(\d+) FAILED at (\d+)", line):
            return f"{file} (hunk {match[1]} at line {match[2]})"
        elif "previously applied" in line:
            return f"{file}, which has that change already"
    return file or f"the source: {''.join(last_lines(said, 1))}"
