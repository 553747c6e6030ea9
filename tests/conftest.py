"""What every test can use: golden files named as the text is deployed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from syrupy.extensions.single_file import SingleFileSnapshotExtension, WriteMode
from syrupy.location import PyTestLocation

if TYPE_CHECKING:
    from syrupy.assertion import SnapshotAssertion
    from syrupy.types import SnapshotIndex

Golden = Callable[[str, str], None]


class NamedAsDeployed(SingleFileSnapshotExtension):
    """`__snapshots__/<test file>/<the name given>`, as text, with no decoration: the file is what the host gets."""

    _write_mode = WriteMode.TEXT
    file_extension = ""

    @classmethod
    def get_location(cls, *, test_location: PyTestLocation, index: SnapshotIndex) -> str:
        """The golden file's path; the name may hold folders."""
        return str(Path(cls.dirname(test_location=test_location)) / str(index))

    @classmethod
    def matches_test_location(cls, *, test_location: PyTestLocation, snapshot_location: str) -> bool:
        """Whether a golden file can be this test's: it lies in the test file's folder."""
        return Path(cls.dirname(test_location=test_location)) in Path(snapshot_location).parents


@pytest.fixture
def golden(snapshot: SnapshotAssertion) -> Golden:
    """`golden(name, text)`: the text is byte for byte the reviewed file; `make golden` writes it anew."""
    files = snapshot.with_defaults(extension_class=NamedAsDeployed)

    def check(name: str, text: str) -> None:
        assert files(name=name) == text

    return check
