from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipway.wire.frames import (
    CALL,
    MAX_CHUNK,
    REPLY,
    Decoder,
    Frame,
    ProtocolError,
    decode_fields,
    encode,
    encode_fields,
)

fields = st.dictionaries(st.text(min_size=1, max_size=20), st.text(max_size=200), max_size=5)
frames = st.lists(st.tuples(st.integers(1, 15), st.binary(min_size=16, max_size=16), fields, st.binary(max_size=500)))


@given(frames, st.integers(1, 64))
def test_frames_survive_any_fragmentation(parts: list[tuple[int, bytes, dict[str, str], bytes]], step: int) -> None:
    stream = b"".join(encode(kind, call, encode_fields(values), body) for kind, call, values, body in parts)
    decoder = Decoder()
    received: list[Frame] = []
    for start in range(0, len(stream), step):
        received += decoder.feed(stream[start : start + step])

    assert [(f.kind, f.call, decode_fields(f.header), f.body) for f in received] == parts


def test_a_long_body_travels_in_chunks_and_others_may_come_between() -> None:
    body = bytes(range(256)) * 4096
    one, two = b"1" * 16, b"2" * 16
    long = encode(CALL, one, b"", body)
    first_chunk = 24 + MAX_CHUNK
    stream = long[:first_chunk] + encode(REPLY, two, b"", b"short") + long[first_chunk:]

    received = Decoder().feed(stream)

    assert received == [Frame(REPLY, two, b"", b"short"), Frame(CALL, one, b"", body)]


def test_a_body_over_the_limit_is_refused_before_it_is_whole() -> None:
    stream = encode(CALL, b"1" * 16, b"", b"x" * (3 * MAX_CHUNK))

    with pytest.raises(ProtocolError, match="exceeds"):
        Decoder(max_body=MAX_CHUNK).feed(stream)


def test_another_version_is_refused() -> None:
    with pytest.raises(ProtocolError, match="protocol 1"):
        Decoder().feed(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")


@given(st.binary(max_size=300))
def test_garbage_is_refused_or_waits_for_more(data: bytes) -> None:
    try:
        Decoder(max_body=1000).feed(data)
    except ProtocolError:
        pass


@given(st.binary(max_size=100))
def test_a_garbled_header_is_a_protocol_error(data: bytes) -> None:
    try:
        decode_fields(data)
    except ProtocolError:
        pass
