"""A film taken apart as it is made."""

import contextlib
import random
from fractions import Fraction

import pytest

from appliance.errors import BadFile, Incomplete
from appliance.film import boxes
from appliance.film.fragments import FRAGMENT_LIMIT, FragmentSplitter
from tests.support.segments import (
    joined,
    segments_of,
    split,
)


def test_a_stream_comes_apart_the_same_whatever_its_pieces(stream: bytes) -> None:
    whole = split(stream)
    assert whole[0].data + b"".join(f.data for f in whole[1]) == stream
    dice = random.Random(1)
    assert split(stream, (dice.randint(1, 900) for _ in range(2000))) == whole
    assert split(stream[:3000] + stream[3000:], [1] * 3000) == whole


def test_fragments_are_short_and_begin_at_each_key_frame(stream: bytes) -> None:
    init, fragments = split(stream)
    assert max(fragment.seconds for fragment in fragments) <= Fraction(1, 4)
    keys = [
        run for f in fragments for run in f.samples if run.track == init.picture.id and run.keys
    ]
    assert [run.keys for run in keys] == [(0,)] * 4, "a key frame is first in its fragment"
    assert [run.time for run in keys] == [0, 90_000, 180_000, 270_000]
    assert sum(f.frames for f in fragments) == 100
    assert sum(f.seconds for f in fragments) == Fraction(100, 30)
    assert all(run.time == 0 for run in fragments[0].samples)


def test_a_stream_that_ends_within_a_fragment_says_so(stream: bytes) -> None:
    splitter = FragmentSplitter()
    splitter.feed(stream[:-1])
    with pytest.raises(Incomplete):
        splitter.finish()


def test_a_fragment_that_never_ends_does_not_fill_the_memory(stream: bytes) -> None:
    init, fragments = split(stream)
    splitter = FragmentSplitter()
    splitter.feed(init.data)
    moof = fragments[0].data[: boxes.header(fragments[0].data)[2]]  # type: ignore[index]
    endless = moof + (FRAGMENT_LIMIT + 1).to_bytes(4, "big") + b"mdat"
    with pytest.raises(BadFile):
        splitter.feed(endless)


def test_nothing_else_is_taken_for_a_film(stream: bytes) -> None:
    init, fragments = split(stream)
    for strange in (
        b"\0\0\0\x08free" + stream,
        stream[len(init.data) :],
        init.data + init.data,
        init.data + fragments[0].data[:-8] + b"\0\0\0\x08free" * 2,
        init.data + b"\0\0\0\x07moof",
        bytes(64),
    ):
        with pytest.raises((BadFile, Incomplete)):
            split(strange)


@pytest.mark.slow
def test_a_stream_with_a_byte_changed_is_read_or_refused_and_nothing_else(stream: bytes) -> None:
    dice = random.Random(2)
    init, fragments = split(stream)
    head = len(init.data) + boxes.header(fragments[0].data)[2]  # type: ignore[index]
    short = init.data + fragments[0].data
    for _ in range(6000):
        altered = bytearray(short)
        altered[dice.randrange(head)] ^= 1 << dice.randrange(8)
        with contextlib.suppress(BadFile, Incomplete):
            joined(segments_of(*split(bytes(altered))))
