"""Films of kinds that few write, with more in them than a picture and a sound, and torn ones."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from fractions import Fraction

from av.video.frame import VideoFrame

from appliance.bench.odd.drawn import sized
from appliance.bench.odd.expected import Expected, OddFilm
from appliance.bench.odd.looks import halves, interlaced
from appliance.bench.odd.muxed import (
    Heard,
    Pictures,
    last_sound_as,
    made,
    remuxed,
    steps,
    torn,
)
from appliance.bench.odd.times import base, beeps, plain
from appliance.media.wire import FilmNote, FilmRefusal


def _refused(make: Callable[[], bytes], why: FilmRefusal) -> OddFilm:
    return OddFilm(make, Expected(refused=why))


def _with(expected: Expected, *notes: FilmNote, least: int | None = None) -> Expected:
    return Expected(expected.pictures, expected.beeps, expected.length, notes=notes, least=least)


# --- Telephones and cameras -----------------------------------------------------------------------


def _apac() -> bytes:
    """As a telephone of 2024 writes: its sound once for everybody, and once in space."""
    sounds = Heard(0, 6), Heard(0, 6)
    return last_sound_as(made(steps(0, 6), *sounds, container="mov"), b"apac", b"dapa")


def _mebx() -> bytes:
    """A track of what a telephone notes of itself, beside picture and sound."""
    sounds = Heard(0, 6), Heard(0, 6)
    film = made(steps(0, 6), *sounds, container="mov")
    return last_sound_as(film, b"mebx", b"keys", b"meta")


def _old(codec: str, size: tuple[int, int], rate: int, sound: Heard, container: str) -> bytes:
    shown = Pictures(steps(0, 3, rate), codec, {}, sized(*size), 1 / rate, Fraction(rate))
    return made(shown, sound, container=container)


def _mpeg4() -> OddFilm:
    def make() -> bytes:
        return _old("mpeg4", (320, 240), 15, Heard(0, 3, rate=16_000), "3gp")

    seen = list(enumerate(steps(0, 3, 15)))
    return OddFilm(make, Expected(seen, beeps(0, 3), 3, (320, 240), step=1 / 15))


def _photo(number: int) -> VideoFrame:
    return sized(640, 480)(number).reformat(format="yuvj420p")


def _motion_jpeg() -> bytes:
    shown = Pictures(steps(0, 3), "mjpeg", {}, _photo)
    return made(shown, Heard(0, 3, codec="pcm_u8", rate=22_050), container="mov")


def _camcorder() -> OddFilm:
    def make() -> bytes:
        return made(interlaced(), Heard(0, 3, codec="ac3"), container="mpegts")

    return OddFilm(make, Expected(halves(), beeps(0, 3), 3, step=1 / 50))


# --- Sound ----------------------------------------------------------------------------------------


def _sounding(sound: Heard, container: str = "mp4") -> OddFilm:
    return OddFilm(lambda: made(steps(0, 6), sound, container=container), plain(6))


# --- Torn -----------------------------------------------------------------------------------------


def _both(make: Callable[[], bytes], name: str, torn_as: str, stated: bool) -> dict[str, OddFilm]:
    """A film, and what is there of it once it was cut off."""
    whole = OddFilm(make, plain(20))
    if stated:
        return {name: whole, torn_as: _refused(lambda: torn(make()), FilmRefusal.CUT_SHORT)}
    there = _with(plain(20), FilmNote.END_MISSING, least=300)
    return {name: whole, torn_as: OddFilm(lambda: torn(make()), there)}


@functools.cache
def _fast() -> bytes:
    """What it needs first is in front."""
    return remuxed(base(20), "fast.mp4", "-map", "0", "-movflags", "+faststart")


@functools.cache
def _whole() -> bytes:
    return remuxed(base(20), "whole.mkv")


@functools.cache
def _live() -> bytes:
    return remuxed(base(20), "live.mkv", "-map", "0", "-live", "1")


@functools.cache
def _pieces() -> bytes:
    """As recorders write that may lose their power."""
    options = {"movflags": "frag_keyframe+empty_moov"}
    return made(steps(0, 20), Heard(0, 20), options=options)


FILMS: Mapping[str, OddFilm] = {
    "iphone16-apac.mov": OddFilm(_apac, _with(plain(6), FilmNote.SOUND_LEFT)),
    "iphone-mebx.mov": OddFilm(_mebx, plain(6)),
    "h263.3gp": _refused(
        lambda: _old("h263", (176, 144), 15, Heard(0, 3, rate=16_000), "3gp"),
        FilmRefusal.UNKNOWN_KIND,
    ),
    "camera-mjpeg.mov": _refused(_motion_jpeg, FilmRefusal.UNKNOWN_KIND),
    "mpeg4.3gp": _mpeg4(),
    "camcorder.mts": _camcorder(),
    "six-channels.mp4": _sounding(Heard(0, 6, layout="5.1")),
    "pcm24.mov": _sounding(Heard(0, 6, codec="pcm_s24le"), "mov"),
    "cover.jpg": _refused(
        lambda: made(Pictures([0.0], "mjpeg", {}, _photo), container="mjpeg"),
        FilmRefusal.UNKNOWN_FILE,
    ),
    "no-moov.mp4": _refused(lambda: torn(base(20)), FilmRefusal.CUT_SHORT),
    **_both(_fast, "fast.mp4", "torn-faststart.mp4", stated=True),
    **_both(_whole, "whole.mkv", "torn.mkv", stated=True),
    **_both(_live, "live.mkv", "torn-nodur.mkv", stated=False),
    **_both(_pieces, "frag.mp4", "torn-frag.mp4", stated=False),
}
"""By the name under which somebody would send it."""
