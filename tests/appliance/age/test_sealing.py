"""What the writer puts on the disk, and when."""

import io
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.age.identities import generate_identity
from appliance.age.scrypt import ScryptRecipient
from appliance.age.sealing import CHUNK, TAG, SealedWriter, Stanza, seal
from appliance.age.unsealing import Identity, SealedReader, unseal
from appliance.errors import BadInput, Incomplete

KEY = generate_identity(x25519=True)
OTHER = generate_identity(x25519=True)
HYBRID = generate_identity()
EDGES = [
    0,
    1,
    2,
    CHUNK - 1,
    CHUNK,
    CHUNK + 1,
    2 * CHUNK - 1,
    2 * CHUNK,
    2 * CHUNK + 1,
    5 * CHUNK + 7,
]


def film(size: int) -> bytes:
    """Bytes that differ from place to place, so that no chunk can stand in for another."""
    return b"".join(n.to_bytes(4, "big") for n in range(size // 4 + 1))[:size]


@pytest.mark.parametrize("key", [KEY, HYBRID], ids=["x25519", "hybrid"])
@pytest.mark.parametrize("size", EDGES)
def test_what_is_sealed_opens_again_at_every_edge(key: Identity, size: int) -> None:
    sealed = seal(film(size), [key.recipient])
    assert unseal(sealed, [key]) == film(size)


@pytest.mark.parametrize("size", EDGES)
def test_sealing_adds_a_header_and_16_bytes_a_chunk(size: int) -> None:
    header = len(seal(b"", [KEY.recipient])) - TAG
    chunks = max(1, -(-size // CHUNK))
    assert len(seal(film(size), [KEY.recipient])) == header + size + chunks * TAG


def test_the_same_film_sealed_twice_has_nothing_in_common() -> None:
    first, second = (seal(film(CHUNK), [KEY.recipient])[-CHUNK:] for _ in range(2))
    assert sum(a == b for a, b in zip(first, second, strict=True)) < CHUNK / 64


def test_each_of_several_recipients_opens_it_alone() -> None:
    sealed = seal(b"ours", [KEY.recipient, OTHER.recipient])
    assert unseal(sealed, [KEY]) == unseal(sealed, [OTHER]) == b"ours"


@given(
    st.lists(
        st.one_of(
            st.binary(max_size=64),
            st.sampled_from([CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK]).map(film),
            st.just("fill"),
        ),
        max_size=12,
    )
)
def test_at_any_moment_the_file_holds_every_byte_but_the_pending_ones(steps: list[object]) -> None:
    file = io.BytesIO()
    writer = SealedWriter(file, [KEY.recipient])
    written = b""
    for step in steps:
        if step == "fill":
            written += bytes(writer.room)
            writer.write(bytes(writer.room))
            writer.flush_full()
            assert writer.pending == 0
        else:
            assert isinstance(step, bytes)
            assert writer.write(step) == len(step)
            written += step
        assert writer.pending + writer.room == CHUNK
        reader = SealedReader(io.BytesIO(file.getvalue()), [KEY])
        assert not reader.complete
        assert reader.read() == written[: len(written) - writer.pending]
    writer.write(b"e")
    writer.close()
    assert unseal(file.getvalue(), [KEY]) == written + b"e"


def test_a_writer_left_without_close_has_written_a_valid_beginning() -> None:
    file = io.BytesIO()
    SealedWriter(file, [KEY.recipient]).write(film(3 * CHUNK + 5))
    with pytest.raises(Incomplete):
        unseal(file.getvalue(), [KEY])
    assert SealedReader(file, [KEY]).read() == film(3 * CHUNK)


def test_a_full_chunk_waits_until_it_is_known_not_to_be_the_last() -> None:
    file = io.BytesIO()
    writer = SealedWriter(file, [KEY.recipient])
    before = len(file.getvalue())
    writer.write(film(CHUNK))
    assert (len(file.getvalue()), writer.pending, writer.room) == (before, CHUNK, 0)
    writer.write(b"x")
    assert (len(file.getvalue()), writer.pending) == (before + CHUNK + TAG, 1)


def test_a_full_chunk_can_be_flushed_when_more_will_follow() -> None:
    file = io.BytesIO()
    writer = SealedWriter(file, [KEY.recipient])
    before = len(file.getvalue())
    writer.write(film(CHUNK))
    writer.flush_full()
    assert len(file.getvalue()) == before + CHUNK + TAG
    writer.write(b"free")
    writer.close()
    assert unseal(file.getvalue(), [KEY]) == film(CHUNK) + b"free"


def test_a_chunk_that_is_not_full_cannot_be_flushed() -> None:
    writer = SealedWriter(io.BytesIO(), [KEY.recipient])
    for size in (0, CHUNK - 1):
        writer.write(bytes(size))
        with pytest.raises(BadInput):
            writer.flush_full()


def test_closing_right_after_a_flushed_chunk_is_refused_and_can_be_made_good() -> None:
    file = io.BytesIO()
    writer = SealedWriter(file, [KEY.recipient])
    writer.write(film(CHUNK))
    writer.flush_full()
    with pytest.raises(BadInput):
        writer.close()
    writer.write(b"x")
    writer.close()
    assert unseal(file.getvalue(), [KEY]) == film(CHUNK) + b"x"


def test_closing_twice_changes_nothing_and_writing_after_it_is_refused() -> None:
    file = io.BytesIO()
    writer = SealedWriter(file, [KEY.recipient])
    writer.write(film(CHUNK))
    writer.close()
    assert writer.pending == 0
    closed = file.getvalue()
    writer.close()
    with pytest.raises(BadInput):
        writer.write(b"more")
    assert file.getvalue() == closed


class FullCard(io.BytesIO):
    """A card with room for so many bytes, that takes what it can of a write and then refuses."""

    def __init__(self, room: int) -> None:
        super().__init__()
        self._room = room

    def write(self, data: object) -> int:
        view = memoryview(data).cast("B")  # type: ignore[call-overload]
        if not self._room:
            raise OSError(28, "No space left on device")
        taken = super().write(view[: self._room])
        self._room -= taken
        return taken


def test_after_a_refused_write_nothing_more_is_sealed_and_all_before_it_opens() -> None:
    file = FullCard(room=3 * CHUNK)
    writer = SealedWriter(file, [KEY.recipient])
    with pytest.raises(OSError, match="No space"):
        writer.write(film(5 * CHUNK))
    stopped = file.getvalue()
    file._room = CHUNK
    for again in (lambda: writer.write(b"x"), writer.flush_full, writer.close):
        with pytest.raises(BadInput, match="refused"):
            again()
    assert file.getvalue() == stopped
    reader = SealedReader(file, [KEY])
    assert (reader.read(), reader.complete) == (film(2 * CHUNK), False)


class Sipping(io.BytesIO):
    """An unbuffered file that takes at most 1,000 bytes of a write, as a system call may."""

    def write(self, data: object) -> int:
        return super().write(memoryview(data).cast("B")[:1000])  # type: ignore[call-overload]


def test_a_file_that_takes_a_write_in_parts_gets_all_of_it() -> None:
    file = Sipping()
    writer = SealedWriter(file, [KEY.recipient])
    writer.write(film(CHUNK + 5))
    writer.close()
    assert unseal(file.getvalue(), [KEY]) == film(CHUNK + 5)


@pytest.mark.parametrize("make", [bytes, bytearray, memoryview], ids=lambda kind: kind.__name__)
def test_any_kind_of_bytes_can_be_written(make: Callable[[bytes], bytes]) -> None:
    assert unseal(seal(make(film(70_000)), [KEY.recipient]), [KEY]) == film(70_000)


def test_what_is_written_may_be_changed_afterwards() -> None:
    file = io.BytesIO()
    writer = SealedWriter(file, [KEY.recipient])
    buffer = bytearray(film(CHUNK + 9))
    writer.write(buffer)
    buffer[:] = bytes(len(buffer))
    writer.close()
    assert unseal(file.getvalue(), [KEY]) == film(CHUNK + 9)


@pytest.mark.parametrize(
    "recipients",
    [
        [],
        [KEY.recipient, HYBRID.recipient],
        [KEY.recipient, ScryptRecipient("open sesame", work=10)],
        [ScryptRecipient("open", work=10), ScryptRecipient("sesame", work=10)],
    ],
    ids=["nobody", "post-quantum and not", "a key and a passphrase", "two passphrases"],
)
def test_recipients_that_may_not_share_a_file_are_refused_before_a_byte(recipients: list) -> None:  # type: ignore[type-arg]
    file = io.BytesIO()
    with pytest.raises(BadInput):
        SealedWriter(file, recipients)
    assert not file.getvalue()


@dataclass
class OfAnotherKind:
    """A recipient that writes what we do not know: another program's files have such stanzas."""

    body: bytes
    kind: str = "x25519"

    def wrap(self, file_key: bytes) -> list[Stanza]:
        return [Stanza("unknown", ("a", "b"), self.body)]


@pytest.mark.parametrize("size", [0, 1, 47, 48, 49, 96, 200])
def test_a_stanza_of_any_length_stands_in_the_header_beside_ours(size: int) -> None:
    file = io.BytesIO()
    writer = SealedWriter(file, [OfAnotherKind(bytes(size)), KEY.recipient])
    writer.write(b"a film")
    writer.close()
    assert unseal(file.getvalue(), [KEY]) == b"a film"
