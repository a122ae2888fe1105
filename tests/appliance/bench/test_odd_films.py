"""Films as telephones, calls, browsers and cameras write them come in whole and true, or are
refused for the right reason."""

from collections.abc import Iterator
from contextlib import closing

import pytest

from appliance.bench.odd import recorded
from appliance.bench.odd.drawn import (
    BARS,
    barred,
    bars_of,
    beep,
    fitted,
    number_in,
    numbered,
    sized,
    to_the_right,
)
from appliance.bench.odd.expected import Expected, bring, compared
from appliance.bench.odd.films import FILMS
from appliance.bench.odd.muxed import Heard, made, steps
from appliance.bench.odd.times import plain
from appliance.media.apart import Apart
from appliance.media.wire import FilmNote, FilmRefusal


@pytest.fixture(scope="module")
def apart() -> Iterator[Apart]:
    with closing(Apart()) as process:
        yield process


A_FEW = (
    "interlaced.mp4",
    "camcorder.mts",
    "late-1.8s.mp4",
    "part.webm",
    "iphone-upright.mov",
    "tv601.mp4",
    "no-moov.mp4",
)
"""The others take a minute together."""


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[] if name in A_FEW else [pytest.mark.slow]) for name in FILMS],
)
def test_each_comes_in_as_what_it_is_or_is_refused_for_what_it_is(name: str, apart: Apart) -> None:
    odd = FILMS[name]
    assert compared(bring(odd.make(), apart), odd.expected).wrong == []


# --- What is held against them sees what is wrong -------------------------------------------------


def test_a_number_is_read_in_any_size_and_wherever_the_picture_is() -> None:
    for number in (0, 1, 0xABCD, 0xFFFF):
        assert number_in(numbered(number)) == number_in(sized(361, 641)(number)) == number
    whole = fitted((640, 360), (360, 640))
    assert whole(0, 0) == pytest.approx((0, 0.34), abs=0.01)
    assert whole(1, 1) == pytest.approx((1, 0.66), abs=0.01)
    assert to_the_right(0, 0) == (1, 0) and to_the_right(1, 1) == (0, 1)


def test_bars_are_read_as_they_were_drawn() -> None:
    frame = barred(5, 640, 360)
    assert number_in(frame) == 5
    shown = frame.reformat(format="rgb24")
    (plane,) = shown.planes
    found = bars_of(bytes(plane), 640, 360)
    for one, other in zip(found, BARS, strict=True):
        assert one == pytest.approx(other, abs=1.5 / 255)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"length": 2.5}, "it lasts"),
        ({"pictures": list(enumerate(steps(0, 3)))[:-1]}, "pictures of"),
        ({"pictures": [(n, at + 0.02 * (n > 0)) for n, at in enumerate(steps(0, 3))]}, "is 0.02"),
        ({"beeps": None}, "it has sound"),
        ({"beeps": [1.0]}, "beeps of 1"),
        ({"beeps": [1.0, 2.03]}, "sound is 30 ms off"),
        ({"size": (64, 256)}, "its size is"),
        ({"notes": (FilmNote.SOUND_LEFT,)}, "told: nothing"),
        ({"refused": FilmRefusal.BROKEN}, "It came in"),
        ({"bars": BARS}, "its colours are"),
        ({"place": lambda at: fitted((64, 64), (256, 64))}, "pictures of"),
    ],
)
def test_what_is_not_as_it_must_be_is_said(
    change: dict[str, object], words: str, apart: Apart
) -> None:
    came = bring(made(steps(0, 3), Heard(0, 3, beep)), apart)
    as_it_is = plain(3)
    assert compared(came, as_it_is).wrong == []
    wanted = Expected(**{**vars(as_it_is), **change})  # type: ignore[arg-type]
    assert any(words in one for one in compared(came, wanted).wrong)


def test_a_refusal_that_was_not_wanted_is_told_in_its_own_words(apart: Apart) -> None:
    found = compared(bring(b"Dear family", apart), plain(3))
    assert found.wrong == [
        "wanted to come in: This file is not a film that the kit can read.",
    ]


def test_what_must_come_of_a_recording_is_read_off_it_as_it_is_seen_and_heard(apart: Apart) -> None:
    film = FILMS["late-1.8s.mp4"].make()
    read, known = recorded.expected(film), FILMS["late-1.8s.mp4"].expected
    assert [number for number, _ in read.pictures] == [number for number, _ in known.pictures]
    assert [at for _, at in read.pictures] == pytest.approx(
        [at for _, at in known.pictures], abs=0.001
    )
    assert read.length == pytest.approx(known.length, abs=0.03)
    assert read.beeps is not None and known.beeps is not None
    assert read.beeps[1:] == pytest.approx(list(known.beeps)[1:], abs=0.001)
    assert compared(bring(film, apart), read).wrong == []
