"""Property values as the engine sends them: protobuf values in which secrets, assets and unknowns are marked."""

from __future__ import annotations

from typing import Any

from google.protobuf.struct_pb2 import Struct, Value
from pulumi.runtime import rpc

UNKNOWN = rpc.UNKNOWN
"""The string that stands for a value which is not known during a preview."""

_SIGNATURE = rpc._special_sig_key  # noqa: SLF001 - the protocol's constants have no public name in the SDK
_SECRET = rpc._special_secret_sig  # noqa: SLF001
_ASSET = rpc._special_asset_sig  # noqa: SLF001
_ARCHIVE = rpc._special_archive_sig  # noqa: SLF001


def _signature(value: Value) -> str:
    return value.struct_value.fields[_SIGNATURE].string_value if _SIGNATURE in value.struct_value.fields else ""


def text(value: str) -> Value:
    """A string as a property value."""
    return Value(string_value=value)


def exposed(value: Value) -> Value:
    """The value itself, out of its secret wrapper where it has one; the same object, so that it can be changed."""
    return value.struct_value.fields["value"] if _signature(value) == _SECRET else value


def hidden(value: Value) -> Value:
    """The value in a secret wrapper, unless it has one."""
    if _signature(value) == _SECRET:
        return value
    return Value(struct_value=Struct(fields={_SIGNATURE: text(_SECRET), "value": value}))


def is_unknown(value: Value) -> bool:
    """Whether the value is not known yet (during a preview)."""
    return bool(exposed(value).string_value == UNKNOWN)


def is_asset(value: Value) -> bool:
    """Whether the value is a file or a text to upload."""
    return _signature(exposed(value)) == _ASSET


def is_archive(value: Value) -> bool:
    """Whether the value is a folder or an archive file to upload."""
    return _signature(exposed(value)) == _ARCHIVE


def plain(value: Value) -> Any:
    """The value as Python data, secrets in clear; an asset is the dictionary that describes it."""
    value = exposed(value)
    match value.WhichOneof("kind"):
        case "struct_value":
            return plain_map(value.struct_value)
        case "list_value":
            return [plain(item) for item in value.list_value.values]
        case None | "null_value":
            return None
        case kind:
            return getattr(value, kind)


def plain_map(properties: Struct) -> dict[str, Any]:
    """A resource's properties as Python data, secrets in clear, absent values left out."""
    return {key: found for key, value in properties.fields.items() if (found := plain(value)) is not None}


def merged(properties: Struct, **strings: str) -> Struct:
    """A copy of the properties with some strings added or replaced."""
    copy = Struct()
    copy.CopyFrom(properties)
    for key, value in strings.items():
        copy.fields[key].CopyFrom(text(value))
    return copy
