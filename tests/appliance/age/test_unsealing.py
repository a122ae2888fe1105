"""The public test vectors of the age format, and what is left of a file that was cut or damaged."""

import contextlib
import hashlib
import io
import random
import threading
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.age.armor import dearmored
from appliance.age.identities import generate_identity, parse_identity
from appliance.age.scrypt import ScryptIdentity, ScryptRecipient
from appliance.age.sealing import CHUNK, TAG, Recipient, Stanza, seal
from appliance.age.unsealing import HEADER_LIMIT, Identity, SealedReader, unseal, unsealed
from appliance.errors import (
    AlteredHeader,
    BadArmor,
    BadFile,
    BadHeader,
    BadPayload,
    Incomplete,
    KitError,
    NotOpened,
)
from tests.support.places import TESTS

VECTORS = TESTS / "vectors" / "age"
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
        assert released == b"".join(plaintext_given(vector))[: len(released)]
        return
    check(vector, released, error)


def plaintext_given(vector: Vector) -> Iterator[bytes]:
    with contextlib.suppress(KitError):
        yield from unsealed(io.BufferedReader(io.BytesIO(vector.data)), vector.identities)


class OpenKey:
    """A recipient and its identity in one that hides nothing and costs nothing: the file key lies
    in the header. So that thousands of openings take seconds."""

    kind = "x25519"

    @property
    def recipient(self) -> Recipient:
        return self

    def wrap(self, file_key: bytes) -> list[Stanza]:
        return [Stanza("open", (), file_key)]

    def unwrap(self, stanzas: Sequence[Stanza]) -> bytes | None:
        return stanzas[0].body

    def secret_text(self) -> str:
        raise AssertionError


KEY = OpenKey()
SEALED_CHUNK = CHUNK + TAG
TAIL = 30_000
PLAIN = random.Random(1).randbytes(2 * CHUNK + TAIL)
SEALED = seal(PLAIN, [KEY])
START = len(SEALED) - 2 * SEALED_CHUNK - TAIL - TAG
"""Where the first chunk of SEALED begins."""


def read_stream(data: bytes) -> tuple[bytes, KitError | None]:
    """All that a stream gives, and how it ended."""
    given = bytearray()
    try:
        for chunk in unsealed(io.BufferedReader(io.BytesIO(data)), [KEY]):
            given += chunk
    except KitError as error:
        return bytes(given), error
    return bytes(given), None


def whole_chunks(cut: int) -> int:
    """The plaintext that a file cut here still holds whole."""
    return max(0, cut - START) // SEALED_CHUNK * CHUNK


def check_cut(cut: int) -> None:
    data = SEALED[:cut]
    if cut < START:
        with pytest.raises(BadHeader):
            SealedReader(io.BytesIO(data), [KEY])
        return
    reader = SealedReader(io.BytesIO(data), [KEY])
    assert (reader.size, reader.complete) == (whole_chunks(cut), False)
    assert reader.read() == PLAIN[: reader.size]


def test_a_film_cut_at_any_place_gives_every_whole_chunk_before_it() -> None:
    places = random.Random(2).sample(range(len(SEALED)), 2000)
    edges = [START + n * SEALED_CHUNK + d for n in (0, 1, 2) for d in (-1, 0, 1, TAG)]
    for cut in [*places, *edges, len(SEALED) - 1]:
        check_cut(cut)
        given, error = read_stream(SEALED[:cut])
        assert given == PLAIN[: whole_chunks(cut)]
        assert isinstance(error, BadHeader if cut < START else Incomplete)


@pytest.mark.slow
def test_a_film_cut_at_every_byte_of_its_last_two_chunks_loses_nothing_before_it() -> None:
    for cut in range(START + SEALED_CHUNK, len(SEALED)):
        check_cut(cut)


def test_a_tail_that_the_disk_filled_with_zeros_gives_everything_before_it() -> None:
    for place in random.Random(3).sample(range(START, len(SEALED)), 500):
        data = SEALED[:place] + bytes(len(SEALED) - place)
        if data == SEALED:
            continue
        reader = SealedReader(io.BytesIO(data), [KEY])
        assert (reader.size, reader.complete) == (whole_chunks(place), False)
        assert reader.read() == PLAIN[: whole_chunks(place)]
        assert read_stream(data)[0] == PLAIN[: whole_chunks(place)]


def test_one_flipped_bit_costs_its_chunk_and_never_gives_a_false_byte() -> None:
    generator = random.Random(4)
    for place in generator.sample(range(START, len(SEALED)), 500):
        data = bytearray(SEALED)
        data[place] ^= 1 << generator.randrange(8)
        bad = (place - START) // SEALED_CHUNK
        given, error = read_stream(bytes(data))
        assert given == PLAIN[: bad * CHUNK]
        # A last chunk that is damaged looks like one that was cut.
        assert isinstance(error, Incomplete if bad == 2 else BadPayload)
        reader = SealedReader(io.BytesIO(data), [KEY])
        assert reader.complete == (bad < 2)
        for chunk in range(-(-reader.size // CHUNK)):
            if chunk == bad:
                with pytest.raises(BadPayload):
                    reader.read_at(chunk * CHUNK, CHUNK)
            else:
                found = reader.read_at(chunk * CHUNK, CHUNK)
                assert found == PLAIN[chunk * CHUNK : (chunk + 1) * CHUNK]


def test_a_read_stops_before_a_damaged_chunk_raises_at_it_and_goes_on_behind_it() -> None:
    data = bytearray(SEALED)
    data[START + SEALED_CHUNK] ^= 1
    reader = SealedReader(io.BytesIO(data), [KEY])
    assert reader.read() == PLAIN[:CHUNK]
    with pytest.raises(BadPayload):
        reader.read(1)
    reader.seek(2 * CHUNK)
    assert reader.read() == PLAIN[2 * CHUNK :]


def test_a_damaged_chunk_that_was_tried_is_never_given_afterwards() -> None:
    data = bytearray(SEALED)
    data[START + SEALED_CHUNK] ^= 1
    reader = SealedReader(io.BytesIO(data), [KEY])
    for _ in range(3):  # the reader opens chunks into memory that it uses again
        assert reader.read_at(CHUNK - 9, 9) == PLAIN[CHUNK - 9 : CHUNK]
        for offset, length in ((CHUNK, 1), (CHUNK - 1, 2), (2 * CHUNK - 1, 2), (0, 3 * CHUNK)):
            with pytest.raises(BadPayload):
                reader.read_at(offset, length)
        assert reader.read_at(2 * CHUNK, 9) == PLAIN[2 * CHUNK : 2 * CHUNK + 9]


def test_chunks_in_another_order_are_refused() -> None:
    first, second = (
        SEALED[START + n * SEALED_CHUNK : START + (n + 1) * SEALED_CHUNK] for n in (0, 1)
    )
    swapped = SEALED[:START] + second + first + SEALED[START + 2 * SEALED_CHUNK :]
    assert read_stream(swapped)[0] == b""
    with pytest.raises(BadPayload):
        SealedReader(io.BytesIO(swapped), [KEY]).read_at(0, 1)


@given(st.integers(0, len(PLAIN) + 9), st.integers(0, len(PLAIN) + 9))
def test_a_read_from_anywhere_is_the_same_piece_of_the_film(offset: int, length: int) -> None:
    reader = SealedReader(io.BytesIO(SEALED), [KEY])
    for _ in range(2):  # from the file, then from what is kept of it
        assert reader.read_at(offset, length) == PLAIN[offset : offset + length]


@given(
    st.lists(st.tuples(st.sampled_from([0, 1, 2]), st.integers(-9, 70_000), st.integers(0, 70_000)))
)
def test_seeking_and_reading_is_as_in_a_plain_file(steps: list[tuple[int, int, int]]) -> None:
    reader, plain = SealedReader(io.BytesIO(SEALED), [KEY]), io.BytesIO(PLAIN)
    for whence, offset, length in steps:
        target = {0: 0, 1: plain.tell(), 2: len(PLAIN)}[whence] + offset
        if target < 0:
            with pytest.raises(ValueError, match="before"):
                reader.seek(offset, whence)
            continue
        assert reader.seek(offset, whence) == plain.seek(target)
        assert reader.read(length) == plain.read(length)
        buffer = bytearray(9)
        assert reader.readinto(buffer) == len(piece := plain.read(9))
        assert buffer[: len(piece)] == piece
        assert reader.tell() == plain.tell()
    reader.seek(0)
    assert reader.read() == PLAIN


def test_reads_of_a_long_film_in_any_order_and_of_any_length_are_right() -> None:
    plain = random.Random(3).randbytes(29 * CHUNK + 321)  # Several times what a reader keeps open.
    reader = SealedReader(io.BytesIO(seal(plain, [KEY.recipient])), [KEY])
    dice = random.Random(4)
    at = 0
    for _ in range(400):
        if dice.random() < 0.5:
            at = dice.randrange(len(plain))
        length = dice.choice([1, 9, CHUNK - 1, CHUNK, 3 * CHUNK, 100_000, 11 * CHUNK])
        assert reader.read_at(at, length) == plain[at : at + length]
        at = (at + dice.choice([length, length - CHUNK // 2, -CHUNK])) % len(plain)
    assert reader.read() == plain


class Shared(io.BytesIO):
    """A file in which another thread gets its turn between every seek and the read after it."""

    def seek(self, offset: int, whence: int = 0, /) -> int:
        position = super().seek(offset, whence)
        self.turn.wait(0.0001)
        return position

    turn = threading.Event()


def test_many_threads_read_one_film_at_once() -> None:
    reader = SealedReader(Shared(SEALED), [KEY])
    wrong: list[int] = []

    def read(seed: int) -> None:
        generator = random.Random(seed)
        for _ in range(50):
            offset = generator.randrange(len(PLAIN))
            try:
                if reader.read_at(offset, 100_000) != PLAIN[offset : offset + 100_000]:
                    wrong.append(offset)
            except BadPayload:
                wrong.append(offset)

    threads = [threading.Thread(target=read, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_an_empty_film_is_complete_and_one_without_its_last_chunk_is_not() -> None:
    empty = seal(b"", [KEY])
    assert unseal(empty, [KEY]) == b""
    assert SealedReader(io.BytesIO(empty), [KEY]).complete
    cut = SealedReader(io.BytesIO(empty[:-TAG]), [KEY])
    assert (cut.size, cut.complete, cut.read()) == (0, False, b"")


REAL = generate_identity(x25519=True)
DOCUMENT = seal(b"words of a family", [REAL.recipient])
HEAD = DOCUMENT.index(b"\n---") + 1


@given(st.integers(0, HEAD + 48), st.integers(0, 255), st.sampled_from(["set", "insert", "remove"]))
def test_no_change_to_a_head_opens_the_file_or_breaks_the_reader(
    place: int, value: int, change: str
) -> None:
    middle = b"" if change == "remove" else bytes([value])
    changed = DOCUMENT[:place] + middle + DOCUMENT[place + (change != "insert") :]
    if changed != DOCUMENT:
        with pytest.raises((BadFile, NotOpened, Incomplete)):
            unseal(changed, [REAL])


@given(
    st.one_of(
        st.binary(max_size=300),
        st.lists(
            st.one_of(
                st.sampled_from(
                    [b"age-encryption.org/v1\n", b"-> ", b"X25519 ", b"scrypt ", b"--- "]
                ),
                st.sampled_from([b"\n", b"mlkem768x25519 ", b"A" * 43, b"A" * 64, b"=", b"\r\n"]),
                st.sampled_from([b"-----BEGIN AGE ENCRYPTED FILE-----\n", b"YWdl", b" ", b"\0"]),
                st.binary(max_size=9),
            ),
            max_size=20,
        ).map(b"".join),
    )
)
def test_whatever_the_bytes_are_the_answer_is_an_error_for_a_person(data: bytes) -> None:
    for start in (b"", b"age-encryption.org/v1\n"):
        with pytest.raises(KitError):
            unseal(start + data, [REAL, KEY_OF_NOBODY])


KEY_OF_NOBODY = generate_identity()


class Endless(io.RawIOBase):
    """The start of a head, and then the same bytes for ever."""

    def __init__(self, start: bytes, unit: bytes) -> None:
        self._start, self._unit = start, unit
        self.served = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]
        piece = (self._start or self._unit * 1000)[: len(buffer)]
        self._start = b""
        buffer[: len(piece)] = piece
        self.served += len(piece)
        return len(piece)


@pytest.mark.parametrize("unit", [b"-> a b\n\n", b"-> ", b"A", b"A" * 64 + b"\n"])
def test_an_endless_head_is_refused_without_reading_on_and_on(unit: bytes) -> None:
    endless = Endless(b"age-encryption.org/v1\n-> a b\n", unit)
    with pytest.raises(BadHeader):
        unsealed(io.BufferedReader(endless), [REAL])
    assert endless.served <= HEADER_LIMIT + 2 * io.DEFAULT_BUFFER_SIZE


def test_each_way_of_not_opening_says_what_to_do() -> None:
    hybrid = generate_identity()
    phrase = seal(b"", [ScryptRecipient("right", work=10)])
    cases: list[tuple[bytes, Identity, str]] = [
        (phrase, ScryptIdentity("wrong"), "passphrase does not open"),
        (phrase, REAL, "sealed with a passphrase"),
        (DOCUMENT, generate_identity(x25519=True), "None of the keys"),
        (seal(b"", [hybrid.recipient]), REAL, "post-quantum"),
        (DOCUMENT, hybrid, "None of the keys"),
    ]
    for data, identity, words in cases:
        with pytest.raises(NotOpened, match=words) as caught:
            unseal(data, [identity])
        assert caught.value.hint
