"""The colours of a film of others, as every screen and every picture of ours has them.

What comes out is eight bits of BT.709 or, of smaller pictures that say so or nothing, BT.601, from
16 to 235. What says that it goes from 0 to 255 (many telephones) is pressed into that. HLG and PQ
(ITU-R BT.2100, a telephone's usual film) are brought into what a plain screen can show: a white
wall, 203 cd/m² (ITU-R BT.2408), stays a little below white, and what is brighter is pressed
together above it, in its own hue.
"""

import enum
from array import array
from fractions import Fraction
from typing import NamedTuple

import av
from av.filter import Graph
from av.filter.context import FilterContext
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange

_WHITE = 203
"""cd/m² of a white wall; `_BRIGHTEST` of what is told apart."""
_BRIGHTEST = 1000
_PEAK = _BRIGHTEST / _WHITE
_KNEE = 0.3
"""Up to here, of white, nothing is pressed together."""
_LEVEL = 6
"""The table has the square of it of steps to a side."""
_GAMMA = 2.4
_HD = 720
"""Lines from which on a film that does not say is BT.709."""

_HLG, _PQ = 18, 16
_WIDE_GAMUT, _P3 = 9, (11, 12)
_SMALL = (5, 6)
"""Numbers of ITU-T H.273: of transfers, of primaries, of matrices."""
_RGB = "rgb48le"
_FROM_2020 = (
    *(1.660491, -0.587641, -0.072850),
    *(-0.124550, 1.132900, -0.008349),
    *(-0.018151, -0.100579, 1.118730),
)
_FROM_P3 = (1.224940, -0.224940, 0.0, -0.042057, 1.042057, 0.0, -0.019638, -0.078636, 1.098274)
"""From linear light of BT.2020 and of P3 to that of BT.709 (ITU-R BT.2407, 2)."""
_AS_SEEN = "pow(val/maxval,1/{gamma})*maxval"
_HLG_LIGHT = (
    "maxval*pow(if(lte(val/maxval,0.5),pow(val/maxval,2)/3,"
    "(exp((val/maxval-0.55991073)/0.17883277)+0.28466892)/12),1.2)"
)
"""BT.2100, table 5, with the gamma of a screen of 1000 cd/m² for each colour by itself."""
_PQ_LIGHT = (
    "maxval*min(1,{times}*pow(max(pow(val/maxval,1/78.84375)-0.8359375,0)"
    "/(18.8515625-18.6875*pow(val/maxval,1/78.84375)),1/0.1593017578125))"
)
"""BT.2100, table 4."""


_MATRICES = {1: "bt709", 5: "smpte170m", 6: "smpte170m", 9: "bt2020"}
"""As `scale` calls the matrices of ITU-T H.273."""
_FULL = {True: "pc", False: "tv"}


class Space(enum.Enum):
    """What numbers of colour mean, in what comes out: matrix, primaries and transfer of H.273."""

    HD = (1, 1, 1)
    SMALL = (6, 6, 6)

    @property
    def matrix(self) -> int:
        return self.value[0]


class Light(NamedTuple):
    """How a film's colours are brought to BT.709, where that takes more than another range."""

    linear: str
    matrix: tuple[float, ...]
    bright: bool
    """It goes up to `_BRIGHTEST`, or else to white."""


def light_of(primaries: int, transfer: int) -> Light | None:
    """Of a film that says so of itself, in numbers of ITU-T H.273; None where a plain screen shows
    it as it is. Its decoder knows them: Debian's PyAV has them of no picture."""
    matrix = _FROM_P3 if primaries in _P3 else _FROM_2020
    if transfer == _HLG:
        return Light(_HLG_LIGHT, matrix, bright=True)
    if transfer == _PQ:
        return Light(_PQ_LIGHT.format(times=10_000 / _BRIGHTEST), matrix, bright=True)
    if primaries == _WIDE_GAMUT or primaries in _P3:
        return Light(f"pow(val/maxval,{_GAMMA})*maxval", matrix, bright=False)
    return None


def space_of(frame: VideoFrame, light: Light | None = None) -> Space:
    """What a film with this picture and light comes out as."""
    if light is not None:
        return Space.HD
    if frame.colorspace in _SMALL:
        return Space.SMALL
    said = frame.colorspace == Space.HD.matrix
    return Space.HD if said or min(frame.width, frame.height) >= _HD else Space.SMALL


class Colours:
    """Brings pictures of one film to one `Space` and size. One thread at a time."""

    def __init__(self, space: Space, light: Light | None = None) -> None:
        self._light, self._space = light, space
        self._plain = _Scaled("yuv420p", space.matrix, full=False)
        self._bright = _Scaled(_RGB, space.matrix, full=True)
        self._mapped: tuple[object, _Mapped] | None = None

    def plain(self, frame: VideoFrame, width: int, height: int) -> VideoFrame:
        """The picture in that size; its time is not kept."""
        size, full = (width, height), _is_full(frame)
        if self._light is None:
            return self._plain.of(frame, size, space_of(frame).matrix, full=full)
        matrix = Space.HD.matrix if frame.colorspace == Space.HD.matrix else _WIDE_GAMUT
        bright = self._bright.of(frame, size, matrix, full=full)
        if self._mapped is None or self._mapped[0] != size:
            self._mapped = size, _Mapped(self._light, width, height)
        return self._plain.of(self._mapped[1].of(bright), size, self._space.matrix, full=True)


def for_jpeg(frame: VideoFrame, width: int, height: int, light: Light | None = None) -> VideoFrame:
    """The picture in that size, as a JPEG means its numbers: BT.601, from 0 to 255 (JFIF 1.02)."""
    space, full = space_of(frame, light), _is_full(frame)
    if light is not None:
        frame, full = Colours(space, light).plain(frame, width, height), False
    scaled = _Scaled("yuvj420p", Space.SMALL.matrix, full=True)
    return scaled.of(frame, (width, height), space.matrix, full=full)


class _Scaled:
    """What makes pictures of one form. By libav's filter: where size and form stay, PyAV's own way
    leaves the range as it was with libav 7. One thread at a time."""

    def __init__(self, form: str, matrix: int, *, full: bool) -> None:
        """`form` as libav calls it; `matrix` of H.273; `full`: from 0 to 255, or else from 16."""
        self._form, self._matrix, self._full = form, matrix, full
        self._graph: tuple[object, Graph] | None = None

    def of(
        self, frame: VideoFrame, size: tuple[int, int], matrix: int, *, full: bool
    ) -> VideoFrame:
        """A picture, whose numbers mean this, in that size; its time is not kept."""
        kind = (frame.width, frame.height, frame.format.name, size, matrix, full)
        if self._graph is None or self._graph[0] != kind:
            self._graph = kind, self._made_for(frame, size, matrix, full)
        graph = self._graph[1]
        frame.pts, frame.time_base = 0, Fraction(1, 25)
        graph.push(frame)
        made = graph.pull()
        assert isinstance(made, VideoFrame)
        return made

    def _made_for(self, frame: VideoFrame, size: tuple[int, int], matrix: int, full: bool) -> Graph:
        graph = Graph()
        begin = graph.add_buffer(
            width=frame.width,
            height=frame.height,
            format=av.VideoFormat(frame.format.name),
            time_base=Fraction(1, 25),
        )
        told = {
            "w": size[0],
            "h": size[1],
            "in_color_matrix": _MATRICES[matrix],
            "in_range": _FULL[full],
            "out_color_matrix": _MATRICES[self._matrix],
            "out_range": _FULL[self._full],
            "flags": "bilinear",
        }
        scale = graph.add("scale", ":".join(f"{name}={value}" for name, value in told.items()))
        end = graph.add("buffersink")
        graph.link_nodes(begin, scale, graph.add("format", self._form), end).configure()
        return graph


class _Mapped:
    """Pictures of RGB with other light, in that of BT.709."""

    def __init__(self, light: Light, width: int, height: int) -> None:
        self._graph, self._count = Graph(), 0
        self._begin = _opening(self._graph, width, height)
        names = ["rr", "rg", "rb", "gr", "gg", "gb", "br", "bg", "bb"]
        parts = (f"{name}={share}" for name, share in zip(names, light.matrix, strict=True))
        seen = _AS_SEEN.format(gamma=_GAMMA)
        steps = [
            self._graph.add("lutrgb", _each(light.linear)),
            self._graph.add("colorchannelmixer", ":".join(parts)),
            self._graph.add("lutrgb", _each(seen)),
        ]
        here = self._begin
        for step in steps:
            here.link_to(step)
            here = step
        end = self._graph.add("buffersink")
        if light.bright:
            table = _table()
            beside = _opening(self._graph, table.width, table.height)
            pressed = self._graph.add("haldclut")
            here.link_to(pressed, 0, 0)
            beside.link_to(pressed, 0, 1)
            here = pressed
        here.link_to(end)
        self._graph.configure()
        if light.bright:
            table.pts, table.time_base = 0, Fraction(1, 25)
            beside.push(table)
            beside.push(None)

    def of(self, picture: VideoFrame) -> VideoFrame:
        picture.pts, picture.time_base = self._count, Fraction(1, 25)
        self._count += 1
        self._begin.push(picture)
        mapped = self._graph.pull()
        assert isinstance(mapped, VideoFrame)
        return mapped


def _opening(graph: Graph, width: int, height: int) -> FilterContext:
    return graph.add_buffer(
        width=width, height=height, format=av.VideoFormat(_RGB), time_base=Fraction(1, 25)
    )


def _each(expression: str) -> str:
    return ":".join(f"{name}='{expression}'" for name in "rgb")


def _table() -> VideoFrame:
    """What is brighter than white pressed together, in its own hue: a table for `haldclut`, of
    colours as they are seen, from black to the brightest.

    The curve is a Möbius transformation that goes on from the straight line below the knee.
    """
    steps, side = _LEVEL**2, _LEVEL**3
    lights = [_PEAK * (step / (steps - 1)) ** _GAMMA for step in range(steps)]
    points = array("H")
    for blue in lights:
        for green in lights:
            for red in lights:
                most = max(red, green, blue, 1e-9)
                share = _pressed(most) / most
                points.extend(
                    round(0xFFFF * min(light * share, 1.0) ** (1 / _GAMMA))
                    for light in (red, green, blue)
                )
    table = VideoFrame(side, side, _RGB)
    (plane,) = table.planes
    rows, data = 2 * 3 * side, points.tobytes()
    plane.update(
        b"".join(
            data[at : at + rows].ljust(plane.line_size, b"\0") for at in range(0, len(data), rows)
        )
    )
    return table


def _pressed(light: float) -> float:
    if light <= _KNEE:
        return light
    below = -(_KNEE**2) * (_PEAK - 1) / (_KNEE**2 - 2 * _KNEE + _PEAK)
    above = (_KNEE**2 - 2 * _KNEE * _PEAK + _PEAK) / (_PEAK - 1)
    slope = (above**2 + 2 * above * _KNEE + _KNEE**2) / (above - below)
    return slope * (light + below) / (light + above)


def _is_full(frame: VideoFrame) -> bool:
    """Whether its numbers go from 0 to 255."""
    return frame.color_range == ColorRange.JPEG or frame.format.name.startswith("yuvj")
