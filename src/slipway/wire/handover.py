"""What a gateway and control say to each other about asynchronous calls, over control's internal socket."""

from __future__ import annotations

import msgspec

from slipway.types import AsyncCall

PATH = "/async"


class Submission(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A call that was admitted, with its input."""

    call: AsyncCall
    body: bytes


class Taken(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What became of one submission: `refusal` is empty where the call is safe."""

    refusal: str = ""


encode_submissions = msgspec.msgpack.Encoder().encode
decode_submissions = msgspec.msgpack.Decoder(list[Submission]).decode
encode_taken = msgspec.msgpack.Encoder().encode
decode_taken = msgspec.msgpack.Decoder(list[Taken]).decode
