"""Boxes of a film: every length is checked before it is used."""

import struct

import pytest

from appliance.errors import BadFile
from appliance.film import boxes
from tests.support.segments import split


@pytest.mark.parametrize(
    ("count", "size", "offset"),
    [(0xFFFFFFFF, 1, 100), (2, 51, 100), (1, 1, 99), (1, 1, 200), (1, 0, 100), (0, 1, 100)],
)
def test_a_fragment_that_claims_more_than_it_holds_is_refused(
    stream: bytes, count: int, size: int, offset: int
) -> None:
    init, _ = split(stream)

    def moof(count: int, size: int, offset: int) -> bytes:
        tfhd = boxes.make(b"tfhd", struct.pack(">IIII", 0x020018, init.picture.id, 3000, size))
        tfdt = boxes.make(b"tfdt", struct.pack(">II", 0, 0))
        trun = boxes.make(b"trun", struct.pack(">IIi", 1, count, offset))
        return boxes.make(b"moof", boxes.make(b"traf", tfhd, tfdt, trun))

    (good,) = boxes.fragment(moof(2, 50, 100), 100, 200, init.tracks)
    assert (good.sizes, good.durations) == ((50, 50), (3000, 3000))
    with pytest.raises(BadFile):
        boxes.fragment(moof(count, size, offset), 100, 200, init.tracks)


@pytest.mark.parametrize("length", range(8))
def test_a_box_is_not_known_before_its_header_is_there(length: int) -> None:
    assert boxes.header(boxes.make(b"free", bytes(9))[:length]) is None


def test_a_box_says_its_length_in_four_bytes_or_in_eight() -> None:
    assert boxes.header(b"x" + boxes.make(b"free", bytes(9)), 1) == (b"free", 8, 17)
    long = struct.pack(">I4sQ", 1, b"mdat", 1 << 33)
    assert boxes.header(long) == (b"mdat", 16, 1 << 33)
    assert boxes.header(long[:15]) is None


@pytest.mark.parametrize(
    "data", [struct.pack(">I4s", 7, b"free"), struct.pack(">I4sQ", 1, b"free", 15)]
)
def test_a_box_that_is_shorter_than_its_header_is_refused(data: bytes) -> None:
    with pytest.raises(BadFile, match="shorter than its own header"):
        boxes.header(data)


@pytest.mark.parametrize("wrong", [-1, 1, 7, 1 << 20])
def test_boxes_that_do_not_fill_what_they_lie_in_are_refused(wrong: int) -> None:
    data = bytearray(boxes.make(b"free", bytes(4)) + boxes.make(b"moov", bytes(4)))
    assert [box.name for box in boxes.boxes(data)] == [b"free", b"moov"]
    data[12:16] = (12 + wrong).to_bytes(4, "big")
    with pytest.raises(BadFile):
        list(boxes.boxes(data))


@pytest.mark.parametrize("count", [0, 2])
def test_what_should_be_there_once_is_there_once(count: int) -> None:
    one = boxes.make(b"mdia", bytes(3))
    assert boxes.child(b"\0\0\0\x08free" + one, None, b"mdia").body == 16
    with pytest.raises(BadFile, match=f"one mdia here and has {count}"):
        boxes.child(count * one, None, b"mdia")


@pytest.mark.parametrize(
    ("said", "instead"),
    [(b"soun", b"vide"), (b"soun", b"text"), (b"vide", b"soun"), (b"mvex", b"free")],
)
def test_tracks_that_we_do_not_write_are_refused(
    stream: bytes, said: bytes, instead: bytes
) -> None:
    init, _ = split(stream)
    moov = init.data[boxes.child(init.data, None, b"moov").start :]
    assert [track.kind for track in boxes.tracks(moov)] == ["video", "sound"]
    with pytest.raises(BadFile):
        boxes.tracks(moov.replace(said, instead))
