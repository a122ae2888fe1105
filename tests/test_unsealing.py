"""The public test vectors of the age format, and what is left of a file that was cut or damaged."""

import contextlib
import hashlib
import io
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from appliance.errors import (
    AlteredHeader,
    BadArmor,
    BadHeader,
    BadPayload,
    Incomplete,
    KitError,
    NotOpened,
)
from appliance.keys import Identity, ScryptIdentity, parse_identity
from appliance.unsealing import SealedReader, dearmored, unsealed

VECTORS = Path(__file__).parent / "vectors" / "age"
KINDS: dict[str, tuple[type[KitError], ...]] = {
    "no match": (NotOpened,),
    "HMAC failure": (AlteredHeader,),
    "header failure": (BadHeader,),
    "payload failure": (BadPayload, Incomplete),
    "armor failure": (BadArmor,),
}
TWO_ENDS = {
    "stream_two_final_chunks",
    "stream_two_final_chunks_full",
    "stream_two_final_chunks_second",
}
KEYS = {
    "expect",
    "payload",
    "file key",
    "identity",
    "passphrase",
    "armored",
    "compressed",
    "comment",
}


@dataclass(frozen=True)
class Vector:
    expect: str
    payload: str
    identities: list[Identity]
    armored: bool
    data: bytes

    @classmethod
    def read(cls, path: Path) -> "Vector":
        head, _, data = path.read_bytes().partition(b"\n\n")
        pairs = [line.split(": ", 1) for line in head.decode().splitlines()]
        assert {key for key, _ in pairs} <= KEYS
        values = dict(pairs)
        identities = [parse_identity(value) for key, value in pairs if key == "identity"]
        phrases = [ScryptIdentity(value) for key, value in pairs if key == "passphrase"]
        return cls(
            values["expect"],
            values.get("payload", hashlib.sha256(b"").hexdigest()),
            [*identities, *phrases],
            values.get("armored") == "yes",
            zlib.decompress(data) if values.get("compressed") == "zlib" else data,
        )


ALL = [
    pytest.param(Vector.read(path), id=path.name)
    for path in sorted(VECTORS.iterdir())
    if path.suffix != ".md"
]


def test_no_vector_is_missing() -> None:
    assert len(ALL) == 143


def check(vector: Vector, released: bytes, error: KitError | None) -> None:
    assert hashlib.sha256(released).hexdigest() == vector.payload
    if vector.expect == "success":
        assert error is None
    else:
        assert isinstance(error, KINDS[vector.expect])
        assert (type(error) is AlteredHeader) == (vector.expect == "HMAC failure")


@pytest.mark.parametrize("vector", ALL)
def test_a_stream_gives_what_the_vector_allows_and_fails_as_it_says(vector: Vector) -> None:
    file = io.BufferedReader(io.BytesIO(vector.data))
    released = bytearray()
    error = None
    try:
        for chunk in unsealed(dearmored(file) if vector.armored else file, vector.identities):
            released += chunk
    except KitError as caught:
        error = caught
    check(vector, released, error)


@pytest.mark.parametrize("vector", ALL)
def test_a_seekable_reader_gives_what_the_vector_allows(
    vector: Vector, request: pytest.FixtureRequest
) -> None:
    name = request.node.callspec.id
    released = b""
    error: KitError | None = None
    try:
        file = io.BytesIO(vector.data)
        if vector.armored:
            file = io.BytesIO(dearmored(file).read())
        reader = SealedReader(file, vector.identities)
        released = reader.read()
        if not reader.complete:
            error = Incomplete("")
        elif len(released) < reader.size:
            reader.read()
    except KitError as caught:
        error = caught
    if name in TWO_ENDS:
        # The last chunk is a good one, so the first of the two ends shows when it is read: it is
        # refused there, where a stream has given it away before it sees that more follows.
        assert isinstance(error, BadPayload)
        assert released == b"".join(given(vector))[: len(released)]
        return
    check(vector, released, error)


def given(vector: Vector) -> Iterator[bytes]:
    with contextlib.suppress(KitError):
        yield from unsealed(io.BufferedReader(io.BytesIO(vector.data)), vector.identities)
