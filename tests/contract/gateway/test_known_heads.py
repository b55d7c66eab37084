"""Requests whose head is the same as an earlier one's are not parsed again; nobody may notice."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator

import pytest

from tests.contract.gateway.conftest import Deployed


class Client:
    """One connection that stays open."""

    def __init__(self, deployed: Deployed) -> None:
        self._connection = socket.create_connection(("127.0.0.1", deployed.platform.port), timeout=20)
        self.key = deployed.key

    def head(self, length: str) -> bytes:
        """The same for all bodies of that length."""
        first = ["POST /v1/algo/ann/probe HTTP/1.1", "Host: localhost", f"Authorization: Simple {self.key}"]
        return "\r\n".join([*first, "Content-Type: application/json", length, "", ""]).encode()

    def send(self, *pieces: bytes) -> None:
        """Each as it is."""
        for piece in pieces:
            self._connection.sendall(piece)

    def replies(self, number: int) -> list[tuple[int, bytes]]:
        """Status and result, or error, of so many replies."""
        received = b""
        while received.count(b'"request_id"') < number:
            part = self._connection.recv(65536)
            assert part, received
            received += part
        found = re.findall(rb"HTTP/1.1 (\d+) [^\r]*\r\n(?:[^\r]+\r\n)*\r\n(\{.*?\"request_id\":\"[^\"]*\"\})", received)
        return [(int(status), _said(json.loads(body))) for status, body in found]

    def close(self) -> None:
        """End it."""
        self._connection.close()


def _said(body: dict[str, object]) -> bytes:
    return json.dumps(body.get("result", body.get("error"))).encode()


@pytest.fixture
def client(deployed: Deployed) -> Iterator[Client]:
    client = Client(deployed)
    client.send(client.head("Content-Length: 3") + b"[1]")
    assert client.replies(1) == [(200, b"[1]")]
    yield client
    client.close()


def test_each_body_gets_its_own_reply(client: Client) -> None:
    for number in (2, 3, 4):
        client.send(client.head("Content-Length: 3") + b"[%d]" % number)
        assert client.replies(1) == [(200, b"[%d]" % number)]


def test_several_in_one_piece_are_answered_in_order(client: Client) -> None:
    client.send(b"".join(client.head("Content-Length: 3") + b"[%d]" % number for number in (5, 6, 7)))
    assert client.replies(3) == [(200, b"[5]"), (200, b"[6]"), (200, b"[7]")]


def test_a_body_that_comes_in_pieces_is_waited_for(client: Client) -> None:
    head = client.head("Content-Length: 3")
    client.send(head, b"[", b"8]", head[:40], head[40:] + b"[9", b"]")
    assert client.replies(2) == [(200, b"[8]"), (200, b"[9]")]


def test_the_beginning_of_the_next_request_is_kept(client: Client) -> None:
    head = client.head("Content-Length: 3")
    client.send(head + b"[1]" + head + b"[", b"2]" + head + b"[3]")
    assert client.replies(3) == [(200, b"[1]"), (200, b"[2]"), (200, b"[3]")]


def test_a_body_that_is_no_json_is_refused_and_the_connection_goes_on(client: Client) -> None:
    client.send(client.head("Content-Length: 3") + b"[1,")
    ((status, _),) = client.replies(1)
    assert status == 400
    client.send(client.head("Content-Length: 3") + b"[2]")
    assert client.replies(1) == [(200, b"[2]")]


def test_a_body_whose_length_is_not_stated_is_read_as_it_says(client: Client) -> None:
    chunked = client.head("Transfer-Encoding: chunked") + b"3\r\n[4]\r\n0\r\n\r\n"
    for _ in range(2):
        client.send(chunked)
        assert client.replies(1) == [(200, b"[4]")]


def test_a_key_that_is_taken_back_is_refused_on_the_same_connection(deployed: Deployed) -> None:
    made = deployed.platform.request("POST", "/v1/users/ann/keys", deployed.key, json={}).json()
    client = Client(deployed)
    client.key = made["key"]
    for _ in range(2):
        client.send(client.head("Content-Length: 3") + b"[1]")
        assert client.replies(1) == [(200, b"[1]")]
    deployed.platform.request("DELETE", f"/v1/users/ann/keys/{made['id']}", deployed.key)
    client.send(client.head("Content-Length: 3") + b"[1]")
    ((status, _),) = client.replies(1)
    client.close()
    assert status == 401
