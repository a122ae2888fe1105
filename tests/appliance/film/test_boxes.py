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
