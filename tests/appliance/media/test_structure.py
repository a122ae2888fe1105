"""The strict look at a film of others: odd is not wrong, and wrong never reaches a decoder."""

import io
import random
import struct
from collections.abc import Callable, Mapping
from functools import partial

import pytest

from appliance.errors import BadFile
from appliance.media.structure import NotKnown, check_film
from tests.support import films


def check(film: bytes) -> None:
    check_film(io.BytesIO(film), len(film))


@pytest.fixture(scope="module")
def film() -> bytes:
    return films.film(30, **films.PLAIN)


def box(name: bytes, body: bytes = b"") -> bytes:
    return struct.pack(">I4s", 8 + len(body), name) + body


def grown(film: bytes, inside: bytes, extra: bytes) -> bytes:
    """The film with something put in at the end of its moov (or of what else is named), whose own
    length and those around it follow."""
    at = film.index(inside) - 4
    (length,) = struct.unpack_from(">I", film, at)
    out = bytearray(film)
    for name in {b"moov", inside}:
        place = film.index(name) - 4
        (old,) = struct.unpack_from(">I", film, place)
        struct.pack_into(">I", out, place, old + len(extra))
    end = at + length
    return bytes(out[:end]) + extra + bytes(out[end:])


def with_field(film: bytes, name: bytes, offset: int, value: bytes) -> bytes:
    """The film with other bytes so far behind the name of a box."""
    at = film.index(name) + 4 + offset
    return film[:at] + value + film[at + len(value) :]


@pytest.mark.parametrize("kind", [name for name in films.SOURCES if "transport" not in name])
def test_what_all_makers_write_passes(kind: str) -> None:
    check(films.film(30, **films.SOURCES[kind]))


ODD: Mapping[str, Callable[[bytes], bytes]] = {
    "no first box that says what it is": lambda f: f[struct.unpack(">I", f[:4])[0] :],
    "a wide box in front": lambda f: box(b"wide") + f,
    "free boxes": lambda f: box(b"free", bytes(99)) + f + box(b"skip", bytes(9)),
    "what a maker adds": lambda f: f + box(b"uuid", random.Random(1).randbytes(99)),
    "a 64-bit length": lambda f: struct.pack(">I4sQ", 1, b"free", 1016) + bytes(1000) + f,
    "a length to the end": lambda f: f + struct.pack(">I4s", 0, b"free") + bytes(1000),
    "an unknown box": lambda f: grown(f, b"moov", box(b"GoPr", b"anything")),
    "what is known of the place": lambda f: grown(f, b"moov", box(b"meta", b"\xff" * 40)),
    "words in a form of their own": lambda f: grown(f, b"moov", box(b"udta", b"\xff" * 40)),
    "zeros at the end of a list": lambda f: grown(f, b"moov", bytes(4)),
    "a brand that nobody knows": lambda f: with_field(f, b"ftyp", 0, b"odd!"),
    "a second head": lambda f: f + box(b"moov", box(b"mvhd", bytes(100))),
    "zeros behind it": lambda f: f + bytes(1000),
    "a part cut off": lambda f: box(b"free", bytes(10)) + f + struct.pack(">I4s", 99, b"mdat"),
}


@pytest.mark.parametrize("kind", ODD)
def test_what_is_odd_and_legal_passes(kind: str, film: bytes) -> None:
    check(ODD[kind](film))


MALFORMED: Mapping[str, Callable[[bytes], bytes]] = {
    "a box shorter than its header": lambda f: f + struct.pack(">I4s", 3, b"free"),
    "a 64-bit box shorter than its header": lambda f: f + struct.pack(">I4sQ", 1, b"free", 9),
    "a head longer than the film": lambda f: with_field(f, b"moov", -8, b"\x7f\xff\xff\xff"),
    "a track longer than its head": lambda f: with_field(f, b"trak", -8, b"\x7f\xff\xff\xff"),
    "a track in a track": lambda f: grown(f, b"trak", box(b"trak", box(b"tkhd", bytes(84)))),
    "a head in a head": lambda f: grown(f, b"moov", box(b"moov", box(b"mvhd", bytes(100)))),
    "a table where none belongs": lambda f: grown(f, b"moov", box(b"stco", bytes(8))),
    "a thousand tracks": lambda f: grown(f, b"moov", box(b"trak") * 1000),
    "a head that is packed": lambda f: grown(f, b"moov", box(b"cmov", bytes(9))),
    "a head that names other films": lambda f: grown(f, b"moov", box(b"rmra", bytes(9))),
    "another file": lambda f: f.replace(
        box(b"url ", b"\0\0\0\1"), box(b"url ", b"\0\0\0\0")[:-4] + b"\0\0\0\0"
    ).replace(b"dref\0\0\0\0\0\0\0\1", b"dref\0\0\0\0\0\0\0\2"),
    **{
        f"a {name} of four thousand million": partial(
            with_field, name=name.encode(), offset=4, value=b"\xff\xff\xff\xff"
        )
        for name in ("stts", "stsc", "stco", "stsd", "dref")
    },
    "sizes of four thousand million": lambda f: with_field(f, b"stsz", 8, b"\xff\xff\xff\xff"),
    "an entry longer than its table": lambda f: with_field(f, b"stsd", 8, b"\0\1\0\0"),
}


@pytest.mark.parametrize("kind", MALFORMED)
def test_what_contradicts_itself_is_refused(kind: str, film: bytes) -> None:
    broken = MALFORMED[kind](film)
    assert broken != film
    with pytest.raises(BadFile):
        check(broken)


def test_a_track_that_lies_in_another_file_is_refused(film: bytes) -> None:
    ours = box(b"url ", b"\0\0\0\1")
    at = film.index(ours)
    theirs = box(b"url ", b"\0\0\0\0file:///etc/passwd\0")
    extra = len(theirs) - len(ours)
    out = bytearray(film[:at] + theirs + film[at + len(ours) :])
    for name in (b"moov", b"trak", b"mdia", b"minf", b"dinf", b"dref"):
        place = film.index(name) - 4
        (old,) = struct.unpack_from(">I", film, place)
        struct.pack_into(">I", out, place, old + extra)
    with pytest.raises(BadFile, match="another file"):
        check(bytes(out))


@pytest.mark.parametrize(
    "data",
    [b"", b"Dear family, " * 99, box(b"ftyp", b"heic" + bytes(20)) + box(b"mdat", bytes(99)),
     b"\x1a\x45\xdf\xa3" + bytes(99), b"#EXTM3U\n" * 9],
    ids=["nothing", "a text", "a picture", "a kind of Matroska", "a list"],
)  # fmt: skip
def test_what_is_no_film_is_not_known(data: bytes) -> None:
    with pytest.raises(NotKnown):
        check(data)


def test_nothing_that_is_broken_makes_the_look_itself_fall(film: bytes) -> None:
    dice = random.Random(9)
    for _ in range(3000):
        broken = bytearray(film)
        for _ in range(dice.choice([1, 3, 30])):
            broken[dice.randrange(len(broken))] = dice.choice([0, 1, 0x7F, 0xFF])
        try:
            check(bytes(broken[: dice.randrange(len(broken))] if dice.random() < 0.3 else broken))
        except BadFile:
            continue
