"""The OpenAPI document, and the service held against it."""

from __future__ import annotations

from typing import Any

import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from pollex import app
from pollex.settings import Settings

APP = app.create(Settings(mock=True, rate_limit=0))
schema = schemathesis.openapi.from_asgi("/openapi.json", APP)
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]


@schema.parametrize()
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
def test_every_answer_is_documented(case: schemathesis.Case[Any]) -> None:
    """If this fails, some request crashes the service, or gets an answer that no client was told of."""
    case.call_and_validate(checks=CHECKS)


def test_what_is_documented() -> None:
    """If this fails, the document is made from something else than the routes."""
    routes = {route.path for route in app.Api(Settings(mock=True)).routes()}  # type: ignore[attr-defined]
    assert set(schema.raw_schema["paths"]) == routes - {"/openapi.json"}
    assert schema.raw_schema["components"]["schemas"]["PolishRequest"]["properties"]["text"]["maxLength"] == 10_000
