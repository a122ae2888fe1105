"""Films whose pictures have another shape, size or colour than most."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any

from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace

from appliance.bench.odd.drawn import (
    BARS,
    BT2020,
    Colour,
    Place,
    barred,
    bright,
    coded,
    fitted,
    half,
    hlg,
    pq,
    sized,
    to_the_right,
    woven,
)
from appliance.bench.odd.expected import Expected, OddFilm, Reference, everywhere
from appliance.bench.odd.muxed import (
    HEVC,
    REORDERED,
    VP8,
    Heard,
    Pictures,
    made,
    remuxed,
    steps,
    turned,
)
from appliance.bench.odd.times import base, beeps, plain

_PAL, _WIDE = (720, 576), (1024, 576)
_HD, _TALL = (640, 360), (360, 640)


def _told(
    times: list[float], size: tuple[int, int], place: Callable[[float], Place] | None = None
) -> Expected:
    return Expected(
        list(enumerate(times)),
        None,
        times[-1] + times[1],
        size,
        place=place or (lambda at: everywhere),
        step=times[1],
    )


# --- Sizes --------------------------------------------------------------------------------------


def _changing(sizes: Mapping[int, tuple[int, int]], frames: int, kept: tuple[int, int]) -> OddFilm:
    """Its picture has another size from each of these on."""

    def size_of(number: int) -> tuple[int, int]:
        return sizes[max(first for first in sizes if first <= number)]

    encoder = {**VP8, "b": "2000000"}
    shown = Pictures(steps(0, frames / 30), "libvpx", encoder, lambda n: sized(*size_of(n))(n))

    def place(at: float) -> Place:
        return fitted(size_of(min(round(at * 30), frames - 1)), kept)

    return OddFilm(lambda: made(shown, container="webm"), _told(steps(0, frames / 30), kept, place))


def _square_or_not(context: Any) -> None:
    context.sample_aspect_ratio = Fraction(64, 45)


def _plain_pal(marks: Callable[[Any], None] = lambda context: None) -> Pictures:
    return Pictures(steps(0, 2, 25), "libx264", REORDERED, sized(*_PAL), 1 / 25, marks=marks)


def _pal(make: Callable[[], bytes], size: tuple[int, int] = _WIDE) -> OddFilm:
    return OddFilm(make, _told(steps(0, 2, 25), size))


def _pal_vp8() -> bytes:
    shown = Pictures(steps(0, 2, 25), "libvpx", VP8, sized(*_PAL), 1 / 25)
    return remuxed(made(shown, container="webm"), "display-only.webm", *_DISPLAY)


def _upright() -> OddFilm:
    def make() -> bytes:
        encoder = {**HEVC, "tag": "hvc1"}
        shown = Pictures(steps(0, 2), "libx265", encoder, sized(*_HD))
        return turned(made(shown, Heard(0, 2), container="mov"))

    times = list(enumerate(steps(0, 2)))
    return OddFilm(make, Expected(times, beeps(0, 2), 2, _TALL, place=lambda at: to_the_right))


def _cover() -> bytes:
    """A picture of the film in front of the film."""
    picture = made(Pictures([0.0], "mjpeg", {}, _red), container="mjpeg")
    order = ("-map", "1", "-map", "0", "-disposition:v:0", "attached_pic")
    film = ("-disposition:v:1", "default")
    return remuxed(base(6), "cover-first.mp4", *order, *film, beside=(picture, "cover.jpg"))


def _red(_number: int) -> VideoFrame:
    frame = VideoFrame(300, 300, "yuvj420p")
    for plane, value in zip(frame.planes, (76, 85, 255), strict=True):
        plane.update(bytes([value]) * plane.buffer_size)
    return frame


def interlaced(codec: str = "libx264") -> Pictures:
    """Two pictures in each, one fiftieth of a second apart."""
    encoder = {"flags": "+ilme+ildct", "x264-params": "tff=1", "bf": "2", "g": "25"}
    return Pictures(steps(0, 3, 25), codec, encoder, woven, 1 / 25, Fraction(25))


def halves() -> list[tuple[int, float]]:
    """What there is to see in it, and when."""
    return [(half(number), at) for number, at in enumerate(steps(0, 3, 50))]


# --- Colours ------------------------------------------------------------------------------------


def _barred(
    size: tuple[int, int],
    matrix: int,
    reach: ColorRange,
    form: str,
    signal: Callable[[Colour], Colour] = lambda one: one,
) -> Callable[[int], VideoFrame]:
    return lambda number: coded(barred(number, *size, signal), matrix, reach, form)


def _marks(numbers: tuple[int, int, int], reach: ColorRange) -> Callable[[Any], None]:
    """What a film says: matrix, primaries and transfer, as ITU-T H.273 numbers them."""

    def say(context: Any) -> None:
        context.colorspace, context.color_primaries, context.color_trc = numbers
        context.color_range = reach

    return say


def _plain_colours(
    matrix: Colorspace,
    number: int,
    reach: ColorRange = ColorRange.MPEG,
    size: tuple[int, int] = _HD,
) -> OddFilm:
    """Of a plain film; number 2 says nothing."""
    full = reach == ColorRange.JPEG
    draw = _barred(size, matrix, reach, "yuvj420p" if full else "yuv420p")
    encoder = {"crf": "8", "preset": "fast"}
    marks = _marks((number,) * 3, reach) if number != 2 else lambda context: None
    shown = Pictures(steps(0, 1), "libx264", encoder, draw, marks=marks)
    told = _told(steps(0, 1), size)
    named = "bt709" if matrix == Colorspace.ITU709 else "bt601"
    return OddFilm(
        lambda: made(shown),
        Expected(told.pictures, None, told.length, size, bars=BARS),
        Reference(named, "pc" if full else "tv"),
    )


def _bright_colours(number: int, curve: Callable[[float], float], container: str) -> OddFilm:
    """Of a telephone's HEVC of ten bits, with more light than a plain screen has."""
    draw = _barred(_HD, BT2020, ColorRange.MPEG, "yuv420p10le", lambda one: bright(one, curve))
    encoder = {**HEVC, "crf": "10", "tag": "hvc1"}
    marks = _marks((9, 9, number), ColorRange.MPEG)
    shown = Pictures(steps(0, 1), "libx265", encoder, draw, marks=marks)
    return OddFilm(
        lambda: made(shown, container=container),
        _told(steps(0, 1), _HD),
        Reference(bright=True),
    )


_709, _601 = Colorspace.ITU709, Colorspace.ITU601
_DISPLAY = ("-map", "0", "-aspect", "16:9")

FILMS: Mapping[str, OddFilm] = {
    "grows.webm": _changing({0: (320, 180), 60: _HD, 120: (1280, 720)}, 180, (1280, 720)),
    "turned.webm": _changing({0: _HD, 60: _TALL}, 180, _TALL),
    "sq0.mp4": _pal(lambda: made(_plain_pal()), _PAL),
    "pasp-only.mp4": _pal(lambda: remuxed(made(_plain_pal()), "pasp-only.mp4", *_DISPLAY)),
    "display-only.mkv": _pal(lambda: remuxed(made(_plain_pal()), "display-only.mkv", *_DISPLAY)),
    "display-only.webm": _pal(_pal_vp8),
    "sar-in-sps.mp4": _pal(lambda: made(_plain_pal(_square_or_not))),
    "iphone-upright.mov": _upright(),
    "odd.webm": OddFilm(
        lambda: made(Pictures(steps(0, 2), draw=sized(361, 641)), container="webm"),
        _told(steps(0, 2), (360, 640)),
    ),
    "cover-first.mp4": OddFilm(_cover, plain(6)),
    "interlaced.mp4": OddFilm(lambda: made(interlaced()), Expected(halves(), None, 3, step=1 / 50)),
    "full709.mp4": _plain_colours(_709, 1, ColorRange.JPEG),
    "tv709.mp4": _plain_colours(_709, 1),
    "tv601.mp4": _plain_colours(_601, 6),
    "unsaid.mp4": _plain_colours(_601, 2),
    "unsaid-720p.mp4": _plain_colours(_709, 2, size=(1280, 720)),
    "hlg.mov": _bright_colours(18, hlg, "mov"),
    "pq.mp4": _bright_colours(16, pq, "mp4"),
}
"""By the name under which somebody would send it."""
