"""Connections that a gateway passes on: served when they come whole, closed when they do not."""

from __future__ import annotations

import socket
from pathlib import Path

from slipway.gateway.passing import request_head
from tests.contract.control.processes import Control


def passed(path: Path, data: bytes, length: int | None = None) -> socket.socket:
    """The client's end of a connection whose other end went to control, with what was read of it."""
    client, server = socket.socketpair()
    client.settimeout(30)
    with socket.socket(socket.AF_UNIX) as carrier, server:
        carrier.connect(str(path))
        stated = len(data) if length is None else length
        socket.send_fds(carrier, [stated.to_bytes(4, "big")], [server.fileno()])
        carrier.sendall(data)
    return client


def answer(client: socket.socket) -> bytes:
    """All that comes until control closes."""
    received = b""
    with client:
        while data := client.recv(65536):
            received += data
    return received


def test_a_request_is_answered_and_the_connection_closed(control: Control) -> None:
    head = request_head(b"GET", b"/v1/data/", [(b"authorization", control.admin_key.encode()), (b"connection", b"x")])
    reply = answer(passed(control.settings.passing_socket, head))
    assert reply.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"connection: close\r\n" in reply
    assert b'"folders"' in reply


def test_what_is_read_later_belongs_to_the_request_too(control: Control) -> None:
    headers = [(b"authorization", control.admin_key.encode())]
    head = request_head(b"GET", b"/v1/data/", headers)
    client = passed(control.settings.passing_socket, head[:40])
    client.sendall(head[40:])
    assert answer(client).startswith(b"HTTP/1.1 200 OK\r\n")


def test_a_connection_that_does_not_come_whole_is_closed(control: Control) -> None:
    assert answer(passed(control.settings.passing_socket, b"GET /v1", length=100)) == b""
    assert answer(passed(control.settings.passing_socket, b"no HTTP\r\n\r\n")).startswith(b"HTTP/1.1 400 ")


def test_a_gateway_that_sends_nothing_disturbs_nobody(control: Control) -> None:
    for data in (b"", b"\0\0\0\4text"):
        with socket.socket(socket.AF_UNIX) as carrier:
            carrier.connect(str(control.settings.passing_socket))
            carrier.sendall(data)
    with control.admin() as admin:
        assert admin.get("/v1/data/").status_code == 200
