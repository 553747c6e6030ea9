"""`export` and `import`: everything that a host serves with, in one file, for a host that has no network.

The file is a tar that any tar reads, with an index as its first member: the hash of every other one. It holds the live
generation without its secrets, the store paths that it needs with their manifests, these tools, and the interpreter
that runs them where that was brought along. `import` lets nothing of it become part of the store before every hash is
right, every store path whole, and every program has run here and computed rightly.
"""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import IO

from . import files, generations, kept, manifest, places, run, say, store, substitute, tools
from .errors import Ended, Exit, HostToolError
from .manifest import PUBLIC_KEY, At, Generation, ManifestError
from .store import RefusedError

FORM = 1
"""Of the file; another number whenever what reads it must be another program."""
INDEX = "site.json"
GENERATION = "generation.json"
_INDEX_LIMIT = 16 << 20
_PYTHON_LINK = f"tools/{tools.PYTHON}"
"""Lets the tools run where the file was unpacked by hand, on a host whose own Python is too old."""


@dataclass(frozen=True)
class Index:
    """What the file says of itself."""

    architecture: str
    python: str | None
    """The name of the interpreter's folder in lib/, if there is one in the file."""
    hashes: Mapping[str, str]
    """Of every plain file, by its name in the tar."""
    links: Mapping[str, str]
    """The interpreter's symbolic links, and where they lead."""

    def text(self) -> str:
        """As JSON."""
        values = {"form": FORM, "architecture": self.architecture, "python": self.python}
        return json.dumps({**values, "hashes": dict(self.hashes), "links": dict(self.links)}, indent=1) + "\n"

    @classmethod
    def parse(cls, text: str) -> Index:
        """From JSON.

        Raises:
            RefusedError: it is none, or a name in it leads out of the file.
        """
        try:
            at = At(json.loads(text), "")
            if (form := at.number("form")) != FORM:
                raise RefusedError(f"it is of form {form}, and these tools read form {FORM}: use those inside it")
            read = cls(
                at.text("architecture"), at.maybe_text("python"), dict(at.take("hashes")), dict(at.take("links"))
            )
            at.end()
        except (ManifestError, ValueError, TypeError) as error:
            raise RefusedError(f"its index cannot be used: {error}") from None
        for name in (*read.hashes, *read.links):
            if name.startswith("/") or {"", ".", ".."} & set(name.split("/")):
                raise RefusedError(f"a name in its index leads out of it: {name!r}")
        for name, target in read.links.items():
            led = os.path.normpath(f"{os.path.dirname(name)}/{target}")
            if name != _PYTHON_LINK and not (name.startswith("python/") and led.startswith("python/")):
                raise RefusedError(f"a link in its index leads out of the interpreter: {name!r}")
        if read.python is not None and not manifest.NAME.fullmatch(read.python):
            raise RefusedError("the name of its interpreter is no plain name")
        return read


def export(arguments: list[str]) -> None:
    """The verb."""
    if len(arguments) != 1:
        raise HostToolError(Exit.USAGE, "'export' takes the name of a file to write, or - for stdout")
    kept.need_root()
    live = generations.current()
    if not live:
        raise HostToolError(Exit.FAILED, "nothing is live on this host: there is nothing to export")
    generation = generations.load(live)
    sources, texts, index = _gathered(generation)
    if (target := arguments[0]) == "-":
        _write(sys.stdout.buffer, sources, texts, index)
        sys.stdout.flush()
        return
    part = f"{target}.part"
    try:
        with open(part, "wb") as file:
            _write(file, sources, texts, index)
        files.sync(part)
        os.replace(part, target)
    finally:
        files.remove(part)
    if generation.lacking():
        say.say(f"left out, because only root may read them: {', '.join(generation.lacking())}")
    say.answer(file=target, size=files.size(target), sha256=files.sha256(target), generation=live)


def _gathered(generation: Generation) -> tuple[dict[str, str], dict[str, bytes], Index]:
    """Where each plain file comes from, the texts that are written for the occasion, and the index of both."""
    sources: dict[str, str] = {}
    texts = {GENERATION: manifest.text(generation.without_secrets()).encode()}
    for item in generation.stores():
        say.say(f"checking {item}")
        if (state := store.state(store.path(item))) != store.INTACT:
            raise HostToolError(Exit.FAILED, f"{store.path(item)} is {state}: mend it first (pulumi up --refresh)")
        texts[f"manifests/{item}.json"] = manifest.text(kept.load(item)).encode()
        sources |= dict(_plain(store.path(item), f"store/{item}"))
    for name in tools.names(places.HERE):
        sources[f"tools/{name}"] = f"{places.HERE}/{name}"
    interpreter = os.path.realpath(f"{places.HERE}/{tools.PYTHON}")
    python, links = None, dict[str, str]()
    if interpreter.startswith(f"{places.TOOLS}/python-"):
        python = interpreter[len(places.TOOLS) + 1 :].partition("/")[0]
        home = f"{places.TOOLS}/{python}"
        sources |= dict(_plain(home, "python"))
        links = {f"python{at[len(home) :]}": os.readlink(at) for at in files.everything(home) if os.path.islink(at)}
        links[_PYTHON_LINK] = f"../python{interpreter[len(home) :]}"
    hashes = {name: files.sha256(source) for name, source in sources.items()}
    hashes |= {name: files.sha256_of(text) for name, text in texts.items()}
    return sources, texts, Index(os.uname().machine, python, hashes, links)


def _plain(folder: str, name: str) -> Iterator[tuple[str, str]]:
    for place in files.everything(folder):
        if os.path.isfile(place) and not os.path.islink(place) and "__pycache__" not in place.split("/"):
            yield name + place[len(folder) :], place


def _write(to: IO[bytes], sources: Mapping[str, str], texts: Mapping[str, bytes], index: Index) -> None:
    with tarfile.open(fileobj=to, mode="w|", format=tarfile.PAX_FORMAT) as packed:
        for name, text in {INDEX: index.text().encode(), **texts}.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(text), 0o644
            packed.addfile(member, io.BytesIO(text))
        for name, source in sources.items():
            member = tarfile.TarInfo(name)
            status = os.stat(source)
            member.size, member.mode = status.st_size, 0o755 if status.st_mode & 0o100 else 0o644
            with open(source, "rb") as file:
                packed.addfile(member, file)
        for name, target in index.links.items():
            member = tarfile.TarInfo(name)
            member.type, member.linkname = tarfile.SYMTYPE, target
            packed.addfile(member)


def take_in(arguments: list[str]) -> None:
    """The verb."""
    run.end_on_signals()
    kept.need_root()
    asked = _Asked.of(arguments)
    secrets = _secrets() if asked.secrets else {}
    scratch = files.scratch(places.STORE, "import")
    os.makedirs(scratch)
    try:
        _vouch(asked)
        index = _unpack(asked.file, scratch)
        generation = _generation(scratch)
        _take_store_paths(scratch, generation)
        _take_tools(scratch, index)
        _activate(replace(generation, secrets=secrets), asked.file)
    except RefusedError as error:
        raise HostToolError(Exit.WRONG_BYTES, f"{asked.file} is refused: {error}") from None
    finally:
        files.remove(scratch)


@dataclass(frozen=True)
class _Asked:
    """The command line."""

    file: str
    public_key: str = ""
    signature: str = ""
    secrets: bool = False

    @classmethod
    def of(cls, arguments: list[str]) -> _Asked:
        """From its words.

        Raises:
            HostToolError: they are others.
        """
        given, rest, named = cls(""), list(arguments), False
        while rest:
            word = rest.pop(0)
            if word == "--secrets":
                given = replace(given, secrets=True)
            elif word == "--public-key" and rest and PUBLIC_KEY.fullmatch(rest[0]):
                given = replace(given, public_key=rest.pop(0))
            elif word == "--signature" and rest:
                given = replace(given, signature=rest.pop(0))
            elif word.startswith("-") or named:
                raise HostToolError(
                    Exit.USAGE,
                    f"'import' takes FILE, --public-key KEY (as make cache-key prints it), --signature FILE and "
                    f"--secrets, not '{word}'",
                )
            else:
                given, named = replace(given, file=word), True
        if not named or not os.path.isfile(given.file):
            raise HostToolError(
                Exit.USAGE, f"'import' takes a file that `export` wrote, and there is none: {given.file}"
            )
        return given


def _secrets() -> dict[str, str]:
    try:
        read = json.load(sys.stdin)
    except ValueError:
        read = None
    if not isinstance(read, dict) or not all(isinstance(text, str) for text in read.values()):
        raise HostToolError(Exit.USAGE, "--secrets takes an object of texts on stdin: path on the host → content")
    return read


def _vouch(asked: _Asked) -> None:
    """Who says what the file is; without a key nobody does, and that is said."""
    if asked.public_key:
        signature = asked.signature or f"{asked.file}.sig"
        if not os.path.isfile(signature):
            raise RefusedError(f"there is no signature of it at {signature}")
        substitute.check_signature(asked.file, signature, asked.public_key)
        say.say(f"{asked.file} is signed by the key that was given")
        return
    say.say(
        f"nobody vouches for {asked.file}: its hashes show that it is whole, and not who made it. "
        "--public-key KEY takes it only if the owner of that key has signed it"
    )


def _unpack(file: str, into: str) -> Index:
    """Every member that the index lists, with the bytes that it lists; no more and no less."""
    seen = set[str]()
    try:
        with tarfile.open(file, mode="r|") as members:
            first = members.next()
            if first is None or first.name != INDEX or first.size > _INDEX_LIMIT:
                raise RefusedError(f"it does not begin with {INDEX}: `export` has not written it")
            content = members.extractfile(first)
            index = Index.parse(content.read().decode("utf-8", "replace") if content is not None else "")
            if index.architecture != (here := os.uname().machine):
                raise RefusedError(f"it is of a host that is {index.architecture}, and this one is {here}")
            _need_room(file)
            while (member := members.next()) is not None:
                if member.name in seen:
                    raise RefusedError(f"{member.name} is in it twice")
                seen.add(member.name)
                _place(members, member, index, into)
    except (OSError, EOFError, tarfile.TarError, ValueError) as error:
        raise RefusedError(f"it cannot be read to its end: {error}") from error
    if missing := sorted({*index.hashes, *index.links} - seen):
        raise RefusedError(f"it lacks {len(missing)} of its files, {missing[0]} among them")
    return index


def _need_room(file: str) -> None:
    wanted, free = files.size(file) >> 20, files.free_mb(places.STORE)
    if free < wanted + 1:
        raise HostToolError(Exit.NO_SPACE, f"{wanted} MB are needed at {places.ROOT}, and {free} MB are free")


def _place(members: tarfile.TarFile, member: tarfile.TarInfo, index: Index, into: str) -> None:
    place = f"{into}/{member.name}"
    if member.issym() and index.links.get(member.name) == member.linkname:
        if member.name != _PYTHON_LINK:
            os.makedirs(os.path.dirname(place), exist_ok=True)
            os.symlink(member.linkname, place)
        return
    wanted = index.hashes.get(member.name)
    if not member.isfile() or wanted is None or (content := members.extractfile(member)) is None:
        raise RefusedError(f"{member.name} is not in its index")
    os.makedirs(os.path.dirname(place), exist_ok=True)
    with open(place, "xb") as new:
        files.copy(content, new)
    os.chmod(place, 0o755 if member.mode & 0o100 else 0o644)
    if files.sha256(place) != wanted:
        raise RefusedError(f"{member.name} has other bytes than its index says")


def _generation(scratch: str) -> Generation:
    try:
        read = manifest.parse(files.read(f"{scratch}/{GENERATION}") or "", Generation.kind, what=GENERATION)
    except ManifestError as error:
        raise RefusedError(str(error)) from None
    assert isinstance(read, Generation)  # noqa: S101 - `parse` has refused every other kind
    return read


def _take_store_paths(scratch: str, generation: Generation) -> None:
    for item in generation.stores():
        try:
            read = manifest.parse(files.read(f"{scratch}/manifests/{item}.json") or "", what=f"the manifest of {item}")
        except ManifestError as error:
            raise RefusedError(str(error)) from None
        if isinstance(read, Generation) or read.item != item:
            raise RefusedError(f"the manifest of {item} is that of another")
        if os.path.isdir(store.path(item)) and store.state(store.path(item)) == store.INTACT:
            say.say(f"{item}: present")
            continue
        say.say(f"{item}: trying it out")
        files.remove(store.path(item))
        store.accept(f"{scratch}/store/{item}", read)
        kept.keep(read)
        if read.kind in store.ARCHIVED:
            store.keep_archive(read)


def _take_tools(scratch: str, index: Index) -> None:
    """The tools that the file was written by, and what runs them."""
    if index.python is not None and not os.path.isdir(home := f"{places.TOOLS}/{index.python}"):
        os.makedirs(places.TOOLS, exist_ok=True)
        os.rename(f"{scratch}/python", home)
    done = subprocess.run(
        ["sh", f"{scratch}/tools/pollex-host", "prepare"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        check=False,
    )
    if done.returncode:
        raise Ended(done.returncode)


def _activate(generation: Generation, file: str) -> None:
    """By the tools that were in the file; their last line is this verb's."""
    if lacking := generation.lacking():
        raise HostToolError(
            Exit.FAILED,
            f"everything of {file} is there, but for what only root may read: {', '.join(lacking)}",
            "give their texts as JSON, path to text: pollex-host import FILE --secrets <TEXTS.json",
        )
    done = subprocess.run(
        ["sh", f"{places.ROOT}/bin/pollex-host", "activate"], input=manifest.text(generation).encode(), check=False
    )
    if done.returncode:
        raise Ended(done.returncode)
