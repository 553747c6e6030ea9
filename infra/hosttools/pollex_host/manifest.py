"""Manifests: what a host is asked to make exist, as one JSON object. The one definition for both sides.

The declaring side makes these records and sends `text(record)`; the host reads them back with `parse`, which refuses
whatever it does not know, naming the field. Their fields, as JSON spells them, are documented in
docs/reference/pollex-host.md, which is generated from this file.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, ClassVar, TypeVar, Union

KEY = re.compile(r"[0-9a-f]{32}")
"""Of a derivation."""
NAME = re.compile(r"[A-Za-z0-9_@-][A-Za-z0-9._@-]*")
"""A plain file name that is not hidden."""
SHA256 = re.compile(r"[0-9a-f]{64}")
PUBLIC_KEY = re.compile(r"MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE[A-Za-z0-9+/]{86}==")
"""Of ECDSA on P-256, as SubjectPublicKeyInfo in Base64: what stands in its PEM file, in one line."""
_MODE = re.compile(r"[0-7]{3}")
_UNIT = re.compile(r"[A-Za-z0-9_@:.-]+\.service")
_SWITCH = re.compile(r"on|off")
BOARD_SETTINGS = {
    "zram": _SWITCH,
    "swapMb": re.compile(r"0|[1-9][0-9]*"),
    "swappiness": re.compile(r"[0-9]+"),
    "desktop": _SWITCH,
    "powerMode": re.compile(r"[0-9]+"),
    "clocks": _SWITCH,
    "fan": re.compile(r"off|[0-9]+"),
}
"""What can be set of a board itself, in the order in which it is put in force: a mode changes what clocks there are."""

Json = Any
"""What `json.loads` gives."""


class ManifestError(ValueError):
    """A manifest that cannot be used; says which field, and why."""


class At:
    """One JSON object and the path to it: reads its fields, each once, and refuses what is left over."""

    def __init__(self, value: Json, path: str) -> None:
        """`path` is what errors call it; empty for the whole."""
        if not isinstance(value, dict):
            raise ManifestError(f"{path or 'the manifest'}: is {_kind(value)}, not an object")
        self._values = dict(value)
        self._path = path

    def wrong(self, name: str, why: str) -> ManifestError:
        """An error that names a field."""
        return ManifestError(f"{self._name(name)}: {why}")

    def take(self, name: str) -> Json:
        """The value of a field that must be there."""
        if name not in self._values:
            raise self.wrong(name, "is missing")
        return self._values.pop(name)

    def optional(self, name: str, default: Json) -> Json:
        """The value of a field that may be left out."""
        return self._values.pop(name, default)

    def text(self, name: str, pattern: re.Pattern[str] | None = None, what: str = "") -> str:
        """A text, which the pattern matches as a whole."""
        return self._text(name, self.take(name), pattern, what)

    def maybe_text(self, name: str) -> str | None:
        """A text, null, or nothing."""
        value = self.optional(name, None)
        return None if value is None else self._text(name, value, None, "")

    def file_name(self, name: str) -> str:
        """A plain file name, because it becomes one."""
        return self.text(name, NAME, "a plain file name")

    def key(self, name: str = "key") -> str:
        """A derivation's key, because it becomes a folder."""
        return self.text(name, KEY, "32 hex digits")

    def number(self, name: str) -> int:
        """A whole number from 0 up."""
        value = self.take(name)
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            raise self.wrong(name, f"{value!r} is not a number from 0 up")
        return value

    def truth(self, name: str) -> bool:
        """True or false."""
        value = self.take(name)
        if not isinstance(value, bool):
            raise self.wrong(name, f"is {_kind(value)}, not true or false")
        return value

    def maybe_number(self, name: str) -> int | None:
        """A number, null, or nothing."""
        if self._values.get(name) is None:
            self._values.pop(name, None)
            return None
        return self.number(name)

    def texts(self, name: str, pattern: re.Pattern[str] | None = None, what: str = "") -> tuple[str, ...]:
        """A list of texts of one line each; may be left out where it is empty."""
        value = self.optional(name, [])
        if not isinstance(value, list):
            raise self.wrong(name, f"is {_kind(value)}, not a list")
        for index, item in enumerate(value):
            if "\n" in self._text(f"{name}[{index}]", item, pattern, what):
                raise self.wrong(f"{name}[{index}]", "is more than one line")
        return tuple(value)

    def within(self, name: str) -> At:
        """An object in a field."""
        return At(self.take(name), self._name(name))

    def maybe_within(self, name: str) -> At | None:
        """An object, null, or nothing."""
        value = self.optional(name, None)
        return None if value is None else At(value, self._name(name))

    def each(self, name: str) -> list[At]:
        """A list of objects; may be left out where it is empty."""
        return self.each_of(name, self.optional(name, []))

    def each_of(self, name: str, value: Json) -> list[At]:
        """What `each` does, with the value of a field."""
        if not isinstance(value, list):
            raise self.wrong(name, f"is {_kind(value)}, not a list")
        return [At(item, self._name(f"{name}[{index}]")) for index, item in enumerate(value)]

    def end(self) -> None:
        """Refuse what nobody asked for: a misspelt field would be taken for its default."""
        if self._values:
            names = ", ".join(sorted(self._values))
            raise ManifestError(f"{self._path or 'the manifest'}: has unknown fields: {names}")

    def _name(self, name: str) -> str:
        return f"{self._path}.{name}" if self._path else name

    def _text(self, name: str, value: Json, pattern: re.Pattern[str] | None, what: str) -> str:
        if not isinstance(value, str):
            raise self.wrong(name, f"is {_kind(value)}, not a text")
        if "\0" in value:
            raise self.wrong(name, "holds a NUL byte, which no file of lines and no argument can hold")
        if pattern is not None and not pattern.fullmatch(value):
            raise self.wrong(name, f"{value!r} is not {what}")
        return value


def _kind(value: Json) -> str:
    names: Mapping[type, str] = {str: "a text", int: "a number", float: "a number", bool: "a truth value"}
    names = {**names, list: "a list", dict: "an object", type(None): "null"}
    return names.get(type(value), "something else")


@dataclass(frozen=True)
class Source:
    """A source tree of git, known by its hash wherever it comes from."""

    commit: str
    """The commit that git mirrors are asked for; its first nine digits are built in."""
    tree: str
    """The tree's hash: the identity. Every mirror must yield it."""
    number: int
    """llama.cpp's build number, which is built in."""
    mirrors: tuple[str, ...]
    """Where it may be had, in order: `git URL` or `bundle URL` (http, https or file)."""
    folders: tuple[str, ...] = ()
    """Top-level folders that are checked out, beside the top-level files; all when there is none."""

    @classmethod
    def read(cls, at: At) -> Source:
        """From JSON."""
        hexes = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")
        folder = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*")
        read = cls(
            commit=at.text("commit", hexes, "a commit's hash"),
            tree=at.text("tree", hexes, "a tree's hash"),
            number=at.number("number"),
            mirrors=at.texts("mirrors", re.compile(r"(git|bundle) \S+"), "a mirror: 'git URL' or 'bundle URL'"),
            folders=at.texts("folders", folder, "the name of a top-level folder"),
        )
        at.end()
        return read


@dataclass(frozen=True)
class Patch:
    """One patch of a series."""

    name: str
    text: str
    """A unified diff with one a/ or b/ before each path; what stands before it is for people."""

    @classmethod
    def read(cls, at: At) -> Patch:
        """From JSON."""
        read = cls(name=at.file_name("name"), text=at.text("text"))
        at.end()
        return read


@dataclass(frozen=True)
class Proof:
    """What a freshly built program must compute before it is installed."""

    model: str
    """A tiny model: GGUF, gzip, Base64."""
    logprobs: str
    """The right answer: `tolerance T`, then a line a step with the token and every token's log-probability."""
    request: str
    """The body of the request, JSON."""

    @classmethod
    def read(cls, at: At) -> Proof:
        """From JSON."""
        read = cls(model=at.text("model"), logprobs=at.text("logprobs"), request=at.text("request"))
        at.end()
        return read


@dataclass(frozen=True)
class Substituter:
    """A cache that may have a finished path, and whose signature is believed."""

    url: str
    """Its base address: http, https or file; or oci://REGISTRY/REPOSITORY."""
    public_key: str
    """ECDSA on P-256, in Base64: who must have signed what it has."""

    @classmethod
    def read(cls, at: At) -> Substituter:
        """From JSON."""
        read = cls(
            url=at.text("url"),
            public_key=at.text("publicKey", PUBLIC_KEY, "a public key of ECDSA on P-256 in Base64"),
        )
        at.end()
        return read

    @classmethod
    def all(cls, at: At) -> tuple[Substituter, ...]:
        """The list of them in a manifest. What earlier tools kept are bare addresses, which nobody vouches for."""
        given = at.optional("substituters", [])
        signed = [one for one in given if not isinstance(one, str)] if isinstance(given, list) else given
        return tuple(cls.read(each) for each in at.each_of("substituters", signed))


@dataclass(frozen=True)
class _Stored:
    """What every store path has: a name made of its key and what it is called."""

    kind: ClassVar[str]
    key: str
    """32 hex digits: the hash of all that decides its bytes."""
    name: str
    """The last part of the store path, such as `llama-server`."""

    @property
    def item(self) -> str:
        """`KEY-NAME`, as the store, the archives and the live map name it."""
        return f"{self.key}-{self.name}"


@dataclass(frozen=True)
class Build(_Stored):
    """A program, compiled on the host from a patched source."""

    kind: ClassVar[str] = "build"
    target: str
    """The program, and CMake's target that makes it."""
    source: Source
    patches: tuple[Patch, ...] = ()
    """Applied in this order."""
    flags: tuple[str, ...] = ()
    """CMake arguments."""
    packages: tuple[str, ...] = ()
    """Debian packages that bring the compilers; installed when something is compiled."""
    jobs: int | None = None
    """How much is compiled at once; null derives it from memory and cores."""
    proof: Proof | None = None
    substituters: tuple[Substituter, ...] = ()
    """Caches that may have the finished path, asked in order."""
    former_keys: tuple[str, ...] = ()
    """Keys of the same bytes by former formulas: what lies in the store under one of them is taken over."""

    @classmethod
    def read(cls, at: At) -> Build:
        """From JSON."""
        proof = at.maybe_within("proof")
        read = cls(
            key=at.key(),
            name=at.file_name("name"),
            target=at.file_name("target"),
            source=Source.read(at.within("source")),
            patches=tuple(Patch.read(each) for each in at.each("patches")),
            flags=at.texts("flags"),
            packages=at.texts("packages"),
            jobs=at.maybe_number("jobs"),
            proof=None if proof is None else Proof.read(proof),
            substituters=Substituter.all(at),
            former_keys=at.texts("formerKeys", KEY, "32 hex digits"),
        )
        at.end()
        return read


@dataclass(frozen=True)
class Model(_Stored):
    """A model file that is served, or made into another, as it was published."""

    kind: ClassVar[str] = "model"
    file: str
    """Its name in the store path."""
    size: int
    """Bytes."""
    sha256: str
    mirrors: tuple[str, ...]
    """URLs, asked in order; what one has left unfinished the next goes on with."""
    adopt: str | None = None
    """A path at which the file may lie already; one with the right hash is taken instead of a download."""
    substituters: tuple[Substituter, ...] = ()
    """As a build's."""
    former_keys: tuple[str, ...] = ()
    """As a build's."""

    @classmethod
    def read(cls, at: At) -> Model:
        """From JSON."""
        read = cls(
            key=at.key(),
            name=at.file_name("name"),
            file=at.file_name("file"),
            size=at.number("size"),
            sha256=at.text("sha256", SHA256, "64 hex digits"),
            mirrors=at.texts("mirrors"),
            adopt=at.maybe_text("adopt") or None,
            substituters=Substituter.all(at),
            former_keys=at.texts("formerKeys", KEY, "32 hex digits"),
        )
        at.end()
        return read


@dataclass(frozen=True)
class Quantised(_Stored):
    """A model file that the host makes out of another one.

    It holds all of what it is made from and by, so that it can be made again when neither is left in the store.
    """

    kind: ClassVar[str] = "quantised"
    file: str
    """Its name in the store path."""
    arguments: tuple[str, ...]
    """llama-quantize's options; the two files and the type of the whole follow them."""
    type: str
    """The type of the whole, such as `Q4_0`."""
    source: Model
    """What it is made from: a manifest of kind `model`."""
    tool: Build
    """The program that makes it: a manifest of kind `build`."""
    substituters: tuple[Substituter, ...] = ()
    """As a build's."""
    former_keys: tuple[str, ...] = ()
    """As a build's."""

    @classmethod
    def read(cls, at: At) -> Quantised:
        """From JSON."""
        read = cls(
            key=at.key(),
            name=at.file_name("name"),
            file=at.file_name("file"),
            arguments=at.texts("arguments"),
            type=at.text("type", re.compile(r"[A-Za-z0-9_]+"), "a type such as Q4_0"),
            source=_nested(at.within("source"), Model),
            tool=_nested(at.within("tool"), Build),
            substituters=Substituter.all(at),
            former_keys=at.texts("formerKeys", KEY, "32 hex digits"),
        )
        at.end()
        return read


@dataclass(frozen=True)
class Bundle(_Stored):
    """A program that is packed where pulumi runs, and sent."""

    kind: ClassVar[str] = "bundle"
    target: str
    """Its program, in `bin/`."""
    substituters: tuple[Substituter, ...] = ()
    """As a build's."""
    former_keys: tuple[str, ...] = ()
    """As a build's."""

    @classmethod
    def read(cls, at: At) -> Bundle:
        """From JSON."""
        read = cls(
            key=at.key(),
            name=at.file_name("name"),
            target=at.file_name("target"),
            substituters=Substituter.all(at),
            former_keys=at.texts("formerKeys", KEY, "32 hex digits"),
        )
        at.end()
        return read


@dataclass(frozen=True)
class Gate:
    """When a unit counts as healthy."""

    health: str
    """A URL that answers 200."""
    completion: str | None
    """A URL that must complete a sentence; null where the health URL itself says that the unit can generate."""
    seconds: int
    """How long it may take."""

    @classmethod
    def read(cls, at: At) -> Gate:
        """From JSON."""
        read = cls(health=at.text("health"), completion=at.maybe_text("completion"), seconds=at.number("seconds"))
        at.end()
        return read


@dataclass(frozen=True)
class Link:
    """A symbolic link at a visible place."""

    path: str
    target: str

    @classmethod
    def read(cls, at: At) -> Link:
        """From JSON."""
        read = cls(path=_path(at), target=at.text("target"))
        at.end()
        return read


@dataclass(frozen=True)
class File:
    """A generated file at a visible place."""

    path: str
    """Absolute and plain."""
    mode: str
    """Three octal digits."""
    sha256: str
    """Of the text; a manifest whose text has another one is refused before anything changes."""
    text: str | None = None
    """What it holds; null where that is for root's eyes only, and stands among the generation's `secrets`."""

    @property
    def name(self) -> str:
        """Its last part; a generation's secret files have different ones."""
        return self.path.rpartition("/")[2]

    @classmethod
    def read(cls, at: At) -> File:
        """From JSON."""
        read = cls(
            path=_path(at),
            mode=at.text("mode", _MODE, "three octal digits"),
            sha256=at.text("sha256", SHA256, "64 hex digits"),
            text=at.maybe_text("text"),
        )
        at.end()
        if read.text is not None:
            _same(at, read, read.text)
        return read


@dataclass(frozen=True)
class Serves:
    """How a unit serves a model with llama-server: what `tune` begins with and varies."""

    program: str
    """The program's store path, `KEY-NAME`."""
    model: str
    """The model's store path, `KEY-NAME`."""
    file: str
    """The model's file in it."""
    alias: str
    """The name of the model that clients see."""
    options: tuple[str, ...]
    """The command line after the program, a word each."""
    adopts: bool
    """Whether the unit takes the options that `tune` finds to be fastest."""

    @classmethod
    def read(cls, at: At) -> Serves:
        """From JSON."""
        read = cls(
            program=at.text("program", NAME, "KEY-NAME of a store path"),
            model=at.text("model", NAME, "KEY-NAME of a store path"),
            file=at.file_name("file"),
            alias=at.text("alias"),
            options=at.texts("options"),
            adopts=at.truth("adopts"),
        )
        at.end()
        return read


@dataclass(frozen=True)
class Unit:
    """A systemd unit with everything that belongs to it; it restarts when any of that changes, and no other does."""

    name: str
    """With its suffix, `.service`."""
    text: str
    needs: tuple[str, ...] = ()
    """Store paths that it runs from, each `KEY-NAME`."""
    links: tuple[Link, ...] = ()
    files: tuple[File, ...] = ()
    gate: Gate | None = None
    serves: Serves | None = None

    @classmethod
    def read(cls, at: At) -> Unit:
        """From JSON."""
        gate, serves = at.maybe_within("gate"), at.maybe_within("serves")
        read = cls(
            name=at.text("name", _UNIT, "the name of a service, such as llama-server.service"),
            text=at.text("text"),
            needs=at.texts("needs", NAME, "KEY-NAME of a store path"),
            links=tuple(Link.read(each) for each in at.each("links")),
            files=tuple(File.read(each) for each in at.each("files")),
            gate=None if gate is None else Gate.read(gate),
            serves=None if serves is None else Serves.read(serves),
        )
        at.end()
        return read


@dataclass(frozen=True)
class Setting:
    """Something that is set of the board itself, remembered as it was before, and put back in the end."""

    name: str
    """As a stack spells it below `pollex:board`."""
    value: str
    """`on`, `off` or a number."""

    @classmethod
    def read(cls, at: At) -> Setting:
        """From JSON."""
        name = at.text("name", re.compile("|".join(BOARD_SETTINGS)), f"one of {', '.join(BOARD_SETTINGS)}")
        read = cls(name=name, value=at.text("value", BOARD_SETTINGS[name], f"a value of {name}"))
        at.end()
        return read


@dataclass(frozen=True)
class Generation:
    """What is live together; units are started and judged in their order."""

    kind: ClassVar[str] = "generation"
    id: str
    units: tuple[Unit, ...] = ()
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Texts of files that only root may read, by path. No state and no kept manifest holds them: they are added on the
    way to the host, which keeps them apart."""
    settings: tuple[Setting, ...] = ()
    """What is set of the board itself; what is not named is left as it is."""

    @classmethod
    def read(cls, at: At) -> Generation:
        """From JSON."""
        secrets = at.optional("secrets", {})
        if not isinstance(secrets, dict) or not all(isinstance(text, str) for text in secrets.values()):
            raise at.wrong("secrets", "is not an object of texts")
        read = cls(
            id=at.file_name("id"),
            units=tuple(Unit.read(each) for each in at.each("units")),
            settings=tuple(Setting.read(each) for each in at.each("settings")),
            secrets=dict(secrets),
        )
        at.end()
        read._check(at)
        return read

    def _check(self, at: At) -> None:
        names = [unit.name for unit in self.units]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise at.wrong("units", f"{twice[0]} is there twice")
        names = [setting.name for setting in self.settings]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise at.wrong("settings", f"{twice[0]} is there twice")
        places = [link.path for unit in self.units for link in unit.links]
        places += [file.path for unit in self.units for file in unit.files]
        if twice := sorted({path for path in places if places.count(path) > 1}):
            raise at.wrong("units", f"two things are to stand at {twice[0]}")
        hidden = {file.path: file for unit in self.units for file in unit.files if file.text is None}
        for path, text in self.secrets.items():
            if path not in hidden:
                raise at.wrong("secrets", f"no unit has a file at {path} whose text is missing")
            _same(at, hidden[path], text)

    def lacking(self) -> list[str]:
        """Paths of files whose text is nowhere in this manifest."""
        return [f.path for unit in self.units for f in unit.files if f.text is None and f.path not in self.secrets]

    def content(self, file: File) -> str | None:
        """What a file holds, as far as this manifest says it."""
        return file.text if file.text is not None else self.secrets.get(file.path)

    def stores(self) -> list[str]:
        """Names of the store paths that it needs, each once, sorted."""
        return sorted({item for unit in self.units for item in unit.needs})

    def live(self) -> dict[str, str]:
        """What the host looks like while it is in force, item by item: the live map as it should be."""
        from hashlib import sha256  # noqa: PLC0415 - as in `_same`

        units = self.units
        return {
            "generation": self.id,
            **{f"unit {unit.name}": sha256(unit.text.encode()).hexdigest() for unit in units},
            **{f"service {unit.name}": "active" for unit in units},
            **{f"link {link.path}": link.target for unit in units for link in unit.links},
            **{f"file {file.path}": file.sha256 for unit in units for file in unit.files},
            **{f"store {item}": "intact" for item in self.stores()},
            **{f"board {setting.name}": setting.value for setting in self.settings},
        }

    def without_secrets(self) -> Generation:
        """What may be kept where everybody can read it."""
        return replace(self, secrets={})


Stored = Union[Build, Model, Quantised, Bundle]
"""What becomes a store path."""
Manifest = Union[Build, Model, Quantised, Bundle, Generation]
KINDS: dict[str, type[Manifest]] = {kind.kind: kind for kind in (Build, Model, Quantised, Bundle, Generation)}
_M = TypeVar("_M", Model, Build)


def parse(text: str, *kinds: str, what: str = "the manifest") -> Manifest:
    """Read a manifest.

    Args:
        text: one JSON object.
        kinds: which kinds are meant; any when none is named.
        what: what errors call the whole.

    Raises:
        ManifestError: it is no JSON, of another kind, or has a field that is missing, unknown or of the wrong form.
    """
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ManifestError(f"{what} is not JSON: {error}") from None
    at = At(value, "")
    kind = at.text("kind")
    if kind not in (kinds or KINDS):
        raise ManifestError(f"{what} is of kind '{kind}', wanted '{' or '.join(kinds or KINDS)}'")
    return KINDS[kind].read(at)


def text(manifest: Manifest, *, indent: int | None = None) -> str:
    """A manifest as JSON, the inverse of `parse`; its secrets and settings are left out where there is none."""
    return json.dumps(plain(manifest), indent=indent, ensure_ascii=False) + "\n"


def plain(manifest: Manifest) -> dict[str, Json]:
    """A manifest as JSON data."""
    value: dict[str, Json] = _plain(manifest)
    if isinstance(manifest, Generation):
        for name in ("settings", "secrets"):
            if not value[name]:
                del value[name]
    return value


def _plain(value: Any) -> Json:
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if not hasattr(value, "__dataclass_fields__"):
        return value
    kind = {"kind": value.kind} if hasattr(value, "kind") else {}
    return {**kind, **{_camel(each.name): _plain(getattr(value, each.name)) for each in fields(value)}}


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(part.capitalize() for part in rest)


def _nested(at: At, kind: type[_M]) -> _M:
    if at.text("kind") != kind.kind:
        raise at.wrong("kind", f"is not '{kind.kind}'")
    return kind.read(at)


def _path(at: At) -> str:
    path = at.text("path")
    parts = path.split("/")
    if parts[0] or not parts[1:] or {"", ".", ".."} & set(parts[1:]) or "\n" in path or "\t" in path:
        raise at.wrong("path", f"{path!r} is not a plain absolute path")
    return path


def _same(at: At, file: File, text: str) -> None:
    from hashlib import sha256  # noqa: PLC0415 - costs a start 3 ms where no file is generated

    if sha256(text.encode()).hexdigest() != file.sha256:
        raise at.wrong("sha256", f"is not that of the text that {file.path} is to hold")


def item_parts(item: str) -> Sequence[str]:
    """Key and name of a store path's name; empty when it is none."""
    key, dash, name = item.partition("-")
    return (key, name) if dash and KEY.fullmatch(key) and NAME.fullmatch(name) else ()
