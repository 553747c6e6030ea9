"""The OpenAPI document, and the service held against it."""

from __future__ import annotations

import contextlib
from typing import Any

import schemathesis
from hypothesis import HealthCheck, settings
from pydantic import AnyHttpUrl, SecretStr
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from pollex import app
from pollex.languagetool import request
from pollex.languagetool.openapi import PARAMETERS
from pollex.settings import Settings

APP = app.create(Settings(mock=True, rate_limit=0))
schema = schemathesis.openapi.from_asgi("/openapi.json", APP)
GUARDED = app.create(Settings(mock=True, rate_limit=20, api_key=SecretStr("key")))
guarded = schemathesis.openapi.from_asgi("/openapi.json", GUARDED)
DEAD = app.create(Settings(llamacpp_url=AnyHttpUrl("http://127.0.0.1:9"), rate_limit=0))
# Each request is sent to an application of its own life, and this one would close its connections with the first.
DEAD.router.lifespan_context = lambda _: contextlib.nullcontext()
dead = schemathesis.openapi.from_asgi("/openapi.json", DEAD)
CHECKS = [
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]


LIMITS = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much]
)


@schema.parametrize()
@LIMITS
def test_every_answer_is_documented(case: schemathesis.Case[Any]) -> None:
    """If this fails, some request crashes the service, or gets an answer that no client was told of."""
    case.call_and_validate(checks=[not_a_server_error, *CHECKS])


@guarded.parametrize()
@LIMITS
def test_every_refusal_is_documented(case: schemathesis.Case[Any]) -> None:
    """If this fails, a client without the key, or one that asks too often, gets an answer that it was not told of."""
    case.call_and_validate(checks=[not_a_server_error, *CHECKS])


@dead.parametrize()
@LIMITS
def test_every_failure_is_documented(case: schemathesis.Case[Any]) -> None:
    """If this fails, a client gets an answer that it was not told of because the board is down."""
    case.call_and_validate(checks=CHECKS)


def test_what_is_documented() -> None:
    """If this fails, the document is made from something else than the routes."""
    routes = {route.path for route in app.Api(Settings(mock=True)).routes()}  # type: ignore[attr-defined]
    clients = {path for route in APP.routes if (path := getattr(route, "path", "")).startswith("/v2/")}
    assert set(schema.raw_schema["paths"]) == routes - {"/openapi.json"} | clients - {"/v2/{action:path}"}
    assert schema.raw_schema["components"]["schemas"]["PolishRequest"]["properties"]["text"]["maxLength"] == 10_000
    assert schema.raw_schema["components"]["schemas"]["PolishRequest"]["properties"]["model_id"]["enum"] == ["mock"]


class Noted(dict[str, str]):
    """Parameters of a request, and which of them were looked at."""

    def __init__(self, **given: str) -> None:
        super().__init__(given)
        self.looked = set[str]()

    def __contains__(self, name: object) -> bool:
        self.looked.add(str(name))
        return super().__contains__(name)

    def __getitem__(self, name: str) -> str:
        self.looked.add(name)
        return super().__getitem__(name)

    def get(self, name: str, default: Any = None) -> Any:
        """As of any dictionary."""
        self.looked.add(name)
        return super().get(name, default)


def test_what_languagetool_s_clients_send() -> None:
    """If this fails, who writes a client is told of parameters that do nothing, or not of those that do."""
    whole = Noted(text="Teh end.", language="auto")
    request.read(whole, 100)
    outside = {"apiKey", "username"}  # what says who asks
    assert set(PARAMETERS) - outside == whole.looked - set(request.RENAMED)
