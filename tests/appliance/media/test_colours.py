"""Colours stay what was seen, whatever the maker of a film writes them down as."""

import io
from collections.abc import Callable, Sequence
from fractions import Fraction
from math import log, sqrt

import av
import pytest
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace, VideoReformatter

from appliance.bench.odd.drawn import BT2020
from appliance.media.colours import Colours, Space, for_jpeg, light_of, space_of
from appliance.media.jpeg import STILL, jpeg

Colour = tuple[float, float, float]
WIDTH, HEIGHT, BAR = 640, 360, 80
BARS: Sequence[Colour] = (
    (0.0, 0.0, 0.0), (0.25, 0.25, 0.25), (0.75, 0.75, 0.75), (1.0, 1.0, 1.0),
    (0.75, 0.0, 0.0), (0.0, 0.75, 0.0), (0.0, 0.0, 0.75), (0.8, 0.6, 0.5),
)  # fmt: skip
"""Black, greys, white, the colours of light and of a skin; as an eight-bit screen gets them."""
SDR, HDR = 4, 12
"""Of 255: how much each channel may be off."""


def drawn(colours: Sequence[Colour] = BARS) -> VideoFrame:
    """Bars of these, each 80 points wide: 16 bits of RGB."""
    frame = VideoFrame(WIDTH, HEIGHT, "rgb48le")
    row = b"".join(
        b"".join(round(65535 * one).to_bytes(2, "little") for one in colour) * BAR
        for colour in colours
    )
    (plane,) = frame.planes
    plane.update(row.ljust(plane.line_size, b"\0") * HEIGHT)
    return frame


def coded(picture: VideoFrame, matrix: int, reach: ColorRange, form: str = "yuv420p") -> VideoFrame:
    return VideoReformatter().reformat(
        picture,
        WIDTH,
        HEIGHT,
        form,
        dst_colorspace=matrix,
        src_color_range=ColorRange.JPEG,
        dst_color_range=reach,
    )


def seen(frame: VideoFrame, space: Space, reach: ColorRange = ColorRange.MPEG) -> list[Colour]:
    """The middle of each bar, as a screen shows it."""
    shown = VideoReformatter().reformat(
        frame,
        format="rgb24",
        src_colorspace=space.matrix,
        src_color_range=reach,
        dst_color_range=ColorRange.JPEG,
    )
    (plane,) = shown.planes
    data, middle = bytes(plane), frame.height // 2 * plane.line_size
    bar = frame.width // len(BARS)
    places = (middle + 3 * (bar * number + bar // 2) for number in range(len(BARS)))
    return [(data[at] / 255, data[at + 1] / 255, data[at + 2] / 255) for at in places]


def alike(found: Sequence[Colour], wanted: Sequence[Colour], by: int) -> None:
    off = [
        max(abs(a - b) for a, b in zip(one, other, strict=True))
        for one, other in zip(found, wanted, strict=True)
    ]
    assert max(off) <= by / 255, [round(255 * one) for one in off]


MAKERS = {
    "a film in HD": (Colorspace.ITU709, 1, ColorRange.MPEG, "yuv420p"),
    "an Android": (Colorspace.ITU709, 1, ColorRange.JPEG, "yuvj420p"),
    "a small film": (Colorspace.ITU601, 6, ColorRange.MPEG, "yuv420p"),
    "a webcam": (Colorspace.ITU601, 5, ColorRange.JPEG, "yuv420p"),
    "a small film that does not say": (Colorspace.ITU601, 2, ColorRange.MPEG, "yuv420p"),
    "ten bits": (Colorspace.ITU709, 1, ColorRange.MPEG, "yuv420p10le"),
    "4:4:4": (Colorspace.ITU709, 1, ColorRange.MPEG, "yuv444p"),
}


def of(maker: str) -> VideoFrame:
    matrix, number, reach, form = MAKERS[maker]
    frame = coded(drawn(), matrix, reach, form)
    frame.colorspace, frame.color_range = number, reach
    return frame


@pytest.mark.parametrize("maker", MAKERS)
def test_what_is_made_of_it_looks_the_same(maker: str) -> None:
    frame = of(maker)
    space = space_of(frame)
    out = Colours(space).plain(frame, WIDTH, HEIGHT)
    assert out.format.name == "yuv420p"
    alike(seen(out, space), BARS, SDR)


@pytest.mark.parametrize("maker", MAKERS)
def test_so_does_a_still(maker: str) -> None:
    picture = jpeg(of(maker), Fraction(1), STILL)
    with av.open(io.BytesIO(picture), "r") as opened:
        (frame,) = opened.decode(video=0)
    alike(seen(frame, Space.SMALL, ColorRange.JPEG), BARS, SDR)


def test_a_film_in_hd_that_does_not_say_is_what_hd_is() -> None:
    frame = VideoFrame(1280, 720, "yuv420p")
    assert space_of(frame) is Space.HD
    assert space_of(VideoFrame(720, 1280, "yuv420p")) is Space.HD, "a telephone held upright"
    assert space_of(VideoFrame(640, 480, "yuv420p")) is Space.SMALL


def test_pictures_that_say_otherwise_midway_look_the_same_too() -> None:
    first = of("a film in HD")
    colours = Colours(space_of(first))
    for maker in ("a film in HD", "a webcam", "an Android", "a small film"):
        # Twice rounded: from one matrix to the other by way of red, green and blue.
        alike(seen(colours.plain(of(maker), WIDTH, HEIGHT), Space.HD), BARS, SDR + 2)


# --- Light that a plain screen does not have ----------------------------------------------------


def hlg(light: float) -> float:
    """The signal of a light; 1 is 1000 cd/m² on the screen (ITU-R BT.2100, table 5)."""
    scene = light ** (1 / 1.2)
    return (
        sqrt(3 * scene)
        if scene <= 1 / 12
        else 0.17883277 * log(12 * scene - 0.28466892) + 0.55991073
    )


def pq(light: float) -> float:
    """The signal of a light; 1 is 1000 cd/m² (table 4)."""
    power = (light / 10) ** 0.1593017578125
    return ((0.8359375 + 18.8515625 * power) / (1 + 18.6875 * power)) ** 78.84375


TO_2020 = (
    (0.627404, 0.329283, 0.043313), (0.069097, 0.919540, 0.011362), (0.016391, 0.088013, 0.895595),
)  # fmt: skip
CURVES = {18: hlg, 16: pq}


def bright(number: int, colours: Sequence[Colour]) -> VideoFrame:
    """Bars of these lights (1 is a white wall) as a telephone writes them."""
    curve: Callable[[float], float] = CURVES[number]
    signals = []
    for colour in colours:
        wide = [sum(a * b for a, b in zip(row, colour, strict=True)) for row in TO_2020]
        red, green, blue = (curve(one * 203 / 1000) for one in wide)
        signals.append((red, green, blue))
    frame = coded(drawn(signals), BT2020, ColorRange.MPEG, "yuv420p10le")
    frame.colorspace, frame.color_range = 9, ColorRange.MPEG
    return frame


@pytest.mark.parametrize("number", CURVES)
def test_below_the_knee_colours_are_what_they_were(number: int) -> None:
    """What is darker than a third of a white wall. Where a colour has nothing at all of another,
    ten bits of a telephone's say less than this of it."""
    lights = [tuple(0.3 * (max(one, 0.15) ** 2.4) for one in colour) for colour in BARS]
    out = Colours(Space.HD, light_of(9, number)).plain(bright(number, lights), WIDTH, HEIGHT)  # type: ignore[arg-type]
    wanted = [tuple(one ** (1 / 2.4) for one in light) for light in lights]
    alike(seen(out, Space.HD), wanted, HDR)  # type: ignore[arg-type]


@pytest.mark.parametrize("number", CURVES)
def test_what_is_brighter_than_white_stays_apart_and_keeps_its_hue(number: int) -> None:
    lights = [(one, one, one) for one in (0.1, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 4.9)]
    out = seen(
        Colours(Space.HD, light_of(9, number)).plain(bright(number, lights), WIDTH, HEIGHT),
        Space.HD,
    )
    greys = [one[0] for one in out]
    assert greys == sorted(greys) and len(set(greys)) == len(greys)
    assert 0.8 < greys[2] < 0.9, "a white wall is a little below white"
    assert greys[-1] > 0.98
    assert all(max(one) - min(one) <= SDR / 255 for one in out), "grey stays grey"
    reds = [(one, one / 4, one / 4) for one in (0.1, 0.3, 0.6, 1.0, 1.5, 2.0, 3.0, 4.0)]
    shown = seen(
        Colours(Space.HD, light_of(9, number)).plain(bright(number, reds), WIDTH, HEIGHT), Space.HD
    )
    for red, green, blue in shown:
        assert (green / red) ** 2.4 == pytest.approx(0.25, abs=0.06)
        assert blue == pytest.approx(green, abs=HDR / 255)


@pytest.mark.parametrize("number", CURVES)
def test_a_still_of_such_a_film_is_as_the_film_that_is_made_of_it(number: int) -> None:
    frame = bright(number, BARS)
    film = seen(Colours(Space.HD, light_of(9, number)).plain(frame, WIDTH, HEIGHT), Space.HD)
    still = for_jpeg(frame, WIDTH, HEIGHT, light_of(9, number))
    alike(seen(still, Space.SMALL, ColorRange.JPEG), film, SDR)
