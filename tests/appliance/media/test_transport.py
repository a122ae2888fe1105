"""What camcorders write comes in as every other film does, and no further than it."""

import io
import random
import struct
import time
from fractions import Fraction

import av
import pytest

from appliance.errors import BadFile
from appliance.media.cutting import cut
from appliance.media.stills import peaks
from appliance.media.structure import NotKnown
from appliance.media.torn import is_torn
from appliance.media.transport import check_transport, packet_length
from appliance.media.wire import FilmNote, FilmRefusal
from tests.support import films
from tests.support.camcorders import WITH_TIMES, stream
from tests.support.odd_films import Came, brought_in

HALF_A_PICTURE, IN_TIME = 1 / 60, 0.02
KINDS = {".ts": {}, ".m2ts": WITH_TIMES}
PACKET = 188


def check(data: bytes) -> None:
    check_transport(io.BytesIO(data), len(data))


def whole(came: Came, pictures: int, after: float = 0.5) -> None:
    """Each picture is there at its time, and each beep."""
    seen = came.pictures
    assert sorted(seen) == list(range(pictures))
    for number, at in seen.items():
        assert at == pytest.approx(number / 30, abs=HALF_A_PICTURE)
    beeps = [one for one in came.loud() if one > after]
    assert beeps == pytest.approx(list(range(1, -(-pictures // 30))), abs=IN_TIME)


@pytest.mark.parametrize("sound", ["ac3", "aac", "mp2"])
@pytest.mark.parametrize("kind", KINDS)
def test_it_comes_in_whole_and_in_time_wherever_its_times_begin(kind: str, sound: str) -> None:
    for start in (0, 1000):
        film = stream(90, [sound], start=start, options=KINDS[kind])
        assert packet_length(film) == (192 if kind == ".m2ts" else 188)
        came = brought_in(film)
        whole(came, 90)
        assert came.notes == []
        assert came.times[-1] == pytest.approx(3, abs=0.1)


def test_times_that_begin_anew_when_their_33_bits_are_full_go_on() -> None:
    film = stream(90, start=2**33 / 90_000 - 1.5)
    whole(brought_in(film), 90)


def test_another_picture_is_left_and_other_sound_is_mixed_and_both_are_told() -> None:
    came = brought_in(stream(60, ["ac3", "mp2"], pictured=2))
    assert sorted(came.notes, key=lambda note: note.value) == [
        FilmNote.PICTURE_LEFT,
        FilmNote.SOUNDS_MIXED,
    ]
    whole(came, 60)


def test_a_track_that_is_named_on_the_way_keeps_nothing_else_from_coming_in() -> None:
    """It stands neither in what libav looks at first, 5 MB, nor in the last of it."""
    nothing = (b"\x47\x1f\xff\x10" + bytes(PACKET - 4)) * 35_000
    pieces = [
        stream(60, ["ac3"]),
        stream(60, ["ac3", "mp2"], start=2),
        stream(60, ["ac3"], start=4),
    ]
    film = nothing.join(pieces)
    came = brought_in(film)
    # Where one ends and the next begins, times may come too close.
    assert 176 <= len(came.times) - 1 <= 180
    assert came.times[-1] == pytest.approx(6, abs=0.1)
    assert [one for one in came.loud() if one > 0.5] == pytest.approx([1, 2, 3, 4, 5], abs=0.1)
    clip = io.BytesIO()
    assert cut(io.BytesIO(film), Fraction(3), Fraction(5), clip).frames == 60
    assert len(list(peaks(io.BytesIO(film), 20))) == 20


def test_a_picture_of_a_tape_is_refused_by_its_name() -> None:
    film = bytearray(stream(30, []))
    # The table that says what a programme has: 0x1B is H.264, 0x02 MPEG-2.
    for at in range(0, len(film), PACKET):
        entry = film.find(b"\x1b\xe1\x00\xf0", at, at + PACKET)
        if entry > 0:
            film[entry] = 2
            section = film.index(b"\x02\xb0", at)
            length = struct.unpack_from(">H", film, section + 1)[0] & 0x3FF
            checked = bytes(film[section : section + 3 + length - 4])
            struct.pack_into(">I", film, section + len(checked), crc(checked))
    with pytest.raises(BadFile, match="The picture is MPEG-2") as refused:
        brought_in(bytes(film))
    assert refused.value.said[0] == FilmRefusal.UNKNOWN_KIND.sentence


def crc(data: bytes) -> int:
    """That of a table (ISO/IEC 13818-1, annex A)."""
    left = 0xFFFFFFFF
    for byte in data:
        left ^= byte << 24
        for _ in range(8):
            left = (left << 1 ^ 0x04C11DB7 if left & 0x80000000 else left << 1) & 0xFFFFFFFF
    return left


@pytest.mark.parametrize("kind", KINDS)
def test_where_its_end_is_missing_what_there_is_comes_in_and_it_is_told(kind: str) -> None:
    film = stream(120, options=KINDS[kind])
    assert not is_torn(io.BytesIO(film), len(film))
    told = 0
    for number in range(1, 11):
        torn = film[: len(film) * (10 + number) // 21]
        came = brought_in(torn)
        told += came.notes == [FilmNote.END_MISSING]
        assert set(came.notes) <= {FilmNote.END_MISSING}
        assert 1.5 < came.times[-1] < 4.1
    # Between two packets that begin something nothing says that more should come.
    assert told >= 9


def test_whatever_is_broken_in_it_ends_within_its_limits_and_in_words() -> None:
    film = stream(45)
    dice = random.Random(7)
    came_in = 0
    for number in range(80):
        data = bytearray(film)
        for _ in range(dice.choice([1, 3, 30, 300])):
            data[dice.randrange(len(data))] = dice.choice([0, 0x47, 0xFF, dice.randrange(256)])
        begin = dice.randrange(len(data) // 3) if number % 4 == 3 else 0
        torn = data[begin : dice.randrange(len(data) // 2, len(data))]
        started = time.monotonic()
        try:
            came = brought_in(bytes(torn), longest=10)
        except BadFile as refused:
            assert "hostile" not in str(refused)
        except (av.FFmpegError, ValueError, ArithmeticError):
            pass  # What the process that decodes tells as broken.
        else:
            came_in += 1
            assert came.times[-1] <= 10
        assert time.monotonic() - started < 30
    assert came_in > 20, "most of what is damaged can still be seen"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"G" * 187,
        b"Dear family, " * 999,
        films.film(30, **films.PLAIN),
        (b"\x47\x1f\xff\x10" + bytes(184)) * 20,
    ],
    ids=["nothing", "less than a packet", "a text", "an MP4", "packets of nothing"],
)
def test_what_is_no_stream_is_not_known(data: bytes) -> None:
    with pytest.raises(NotKnown):
        check(data)


def test_a_stream_that_cannot_be_is_refused_before_it_is_decoded() -> None:
    rows = b"".join(struct.pack(">HH", number, 0xE100) for number in range(1, 41))
    more = [rows, rows]  # What fits into one packet is fewer than a hundred.
    table = bytes([0, 0, 0xB0, 9 + 160, 0, 1, 0xC1, 0, 0]) + more[0] + bytes(4)
    packet = (b"\x47\x40\x00\x10" + table).ljust(PACKET, b"\xff")
    check(packet * 20)
    broken = bytearray(packet * 100)
    for number in range(20, 60):
        broken[number * PACKET] = 0
    with pytest.raises(BadFile):
        check(bytes(broken))
