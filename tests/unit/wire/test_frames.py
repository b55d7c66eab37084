from __future__ import annotations

import contextlib
import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slipway.wire.frames import (
    CALL,
    MAX_CHUNK,
    OVERSIZED,
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


@settings(max_examples=50)
@given(st.data(), st.lists(st.tuples(st.integers(1, 15), st.integers(0, 3 * MAX_CHUNK)), max_size=5))
def test_long_and_short_frames_survive_whatever_cuts_the_stream(
    data: st.DataObject, parts: list[tuple[int, int]]
) -> None:
    sent = [
        Frame(kind, bytes([n] * 16), encode_fields({"n": str(n)}), b"x" * size) for n, (kind, size) in enumerate(parts)
    ]
    stream = b"".join(encode(*frame) for frame in sent)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=20)))
    decoder = Decoder()
    received: list[Frame] = []
    for start, end in itertools.pairwise([0, *cuts, len(stream)]):
        received += decoder.feed(stream[start:end])
    assert received == sent


@settings(max_examples=50)
@given(st.integers(1, 5 * MAX_CHUNK), st.integers(MAX_CHUNK, 3 * MAX_CHUNK), st.integers(10_000, MAX_CHUNK))
def test_a_body_over_the_limit_can_be_dropped_and_the_stream_goes_on(size: int, limit: int, step: int) -> None:
    header = encode_fields({"a": ""})
    stream = encode(REPLY, b"1" * 16, header, b"x" * size) + encode(REPLY, b"2" * 16, b"", b"short")
    decoder = Decoder(limit, drop_oversized=True)
    received: list[Frame] = []
    for start in range(0, len(stream), step):
        received += decoder.feed(stream[start : start + step])
    fits = size <= limit
    first = Frame(REPLY if fits else OVERSIZED | REPLY, b"1" * 16, header, b"x" * size if fits else b"")
    assert received == [first, Frame(REPLY, b"2" * 16, b"", b"short")]


@given(st.lists(st.binary(max_size=300), max_size=5), st.booleans())
def test_garbage_in_pieces_raises_nothing_but_a_protocol_error(pieces: list[bytes], drop: bool) -> None:
    decoder = Decoder(1000, drop_oversized=drop)
    with contextlib.suppress(ProtocolError):
        for piece in pieces:
            for frame in decoder.feed(b"\x01" + piece):
                decode_fields(frame.header)


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
