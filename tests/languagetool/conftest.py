"""The service as a process for LanguageTool's clients, as the tests of the service start it."""

from __future__ import annotations

from tests.patches.conftest import binary  # noqa: F401 - the cached build, as a fixture
from tests.service.conftest import llama, scripted, start  # noqa: F401 - fixtures
