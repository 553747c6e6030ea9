"""Connections that are slow, or too many, cost the others nothing."""

from __future__ import annotations

import socket
from contextlib import ExitStack

import httpx
import psutil
import pytest

from tests.service.conftest import Service, Start
from tests.waiting import wait_until

REQUEST = b'{"text": "teh end", "model_id": "mock"}'
HEAD = b"POST /api/polish HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"


def opened(service: Service) -> socket.socket:
    return socket.create_connection(("127.0.0.1", service.port), timeout=300)


def answered(connection: socket.socket) -> bytes:
    """Everything until the service closes it."""
    said = b""
    while more := connection.recv(65536):
        said += more
    return said


def sockets(service: Service) -> int:
    """Connections and the one that listens, as the kernel counts them."""
    return len(psutil.Process(service.process.pid).net_connections())


@pytest.mark.fault("service", "none", "a client sends nothing, or half a request", "408, and the connection is closed")
@pytest.mark.parametrize(
    "sent",
    [b"", b"POST /api/polish HTTP/1.1\r\nHost: x\r\n", HEAD % len(REQUEST), HEAD % len(REQUEST) + REQUEST[:-1]],
    ids=["nothing", "half a head", "no body", "half a body"],
)
def test_a_request_that_does_not_end(start: Start, sent: bytes) -> None:
    """If this fails, whoever opens connections and says nothing keeps the page from everybody, for ever."""
    service = start(receive_seconds=0.5)
    with opened(service) as connection:
        connection.sendall(sent)
        assert answered(connection).startswith(b"HTTP/1.1 408 ")


def test_a_second_request_that_does_not_end(start: Start) -> None:
    """If this fails, one good request buys a connection that is held for ever."""
    service = start(receive_seconds=0.5)
    with opened(service) as connection:
        connection.sendall(HEAD % len(REQUEST) + REQUEST)
        while b"the end" not in (said := connection.recv(65536)):
            assert said
        connection.sendall(b"GET / HTTP/1.1\r\nHost:")
        assert answered(connection).startswith(b"HTTP/1.1 408 ")


def test_a_request_that_waits_for_its_answer(start: Start) -> None:
    """If this fails, a long answer is cut off because the request took as long as it may."""
    service = start(receive_seconds=0.3, send_seconds=0.3, mock_delay_ms=400)
    assert service.polish("teh end of teh day").json()["polished"] == "the end of the day"


@pytest.mark.fault("service", "none", "clients do not read their answers", "their connections are cut")
def test_an_answer_that_nobody_reads(start: Start) -> None:
    """If this fails, clients that ask and do not read fill the board's memory."""
    service = start(send_seconds=0.5)
    before = sockets(service)
    with ExitStack() as held:
        for _ in range(3):
            connection = held.enter_context(opened(service))
            connection.settimeout(0.2)
            try:
                while True:  # until what was answered fills all buffers, and no more is taken from here
                    connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            except (TimeoutError, ConnectionError):
                pass
        wait_until(lambda: sockets(service) <= before, what="the end of the unread connections")
    assert service.polish("teh end").status_code == 200


@pytest.mark.fault("service", "none", "one address opens too many connections", "503; others are served")
def test_more_connections_than_there_may_be(start: Start) -> None:
    """If this fails, one machine takes every connection that the service has, and other people get none."""
    service = start(max_connections=8)
    with ExitStack() as held:
        for _ in range(4):
            held.enter_context(opened(service))
        wait_until(lambda: sockets(service) >= 5, what="the connections")
        with opened(service) as one_more:
            assert answered(one_more).startswith(b"HTTP/1.1 503 ")
        local = httpx.HTTPTransport(local_address="127.0.0.2")
        with httpx.Client(transport=local) as other:
            assert other.get(f"{service.url}/livez").status_code == 200
    wait_until(lambda: httpx.get(f"{service.url}/livez").status_code == 200, what="a free connection")


def test_a_head_too_long(start: Start) -> None:
    """If this fails, one request with endless headers fills the board's memory."""
    service = start()
    with opened(service) as connection:
        connection.sendall(b"GET /livez HTTP/1.1\r\nX: " + b"x" * 100_000)
        assert answered(connection).startswith(b"HTTP/1.1 400 ")
