"""Pictures that were filmed as two, one in the upper lines and one in the lower (interlaced), taken
apart into what was seen: both, each at its own time and with all its lines.

Camcorders film so. Shown as it is, whatever moves has a comb at its edge.
"""

from collections.abc import Iterator
from fractions import Fraction

from av.filter import Graph, filters_available
from av.video.frame import VideoFrame

_SLOWEST = Fraction(1, 10)
"""Seconds from a picture to the next, at most, of what was filmed in two halves; if the next one
comes later, this one stood."""
_SOME_STEP = Fraction(1, 25)
_FILTER = next(name for name in ("bwdif", "yadif") if name in filters_available)
_BOTH_HALVES = "mode=send_field:parity=auto:deint=interlaced"


class Fields:
    """Takes a film's pictures as they come, and gives back what was seen. One thread at a time.

    What was not filmed in halves passes through as it is. Of what was, each lags behind by one
    picture: the next one tells what moved.
    """

    def __init__(self) -> None:
        self._graph: Graph | None = None
        self._kind: object = None
        self._held: dict[int, Fraction] = {}
        """When each picture appears that is in the filter, by its number."""
        self._count = self._given = 0
        """Numbers of the next picture that goes in, and of the next that comes out whole."""
        self._step = _SOME_STEP

    @property
    def waits(self) -> bool:
        """Whether there is a picture in here that was not given back."""
        return self._given < self._count

    def of(self, frame: VideoFrame, at: Fraction) -> Iterator[tuple[VideoFrame, Fraction]]:
        """What there is to see once this picture came, which appears at `at` seconds: each picture
        and its second."""
        kind = frame.width, frame.height, frame.format.name
        if self._graph is not None and kind != self._kind:
            yield from self.rest()
        if self._graph is None:
            if not frame.interlaced_frame:
                yield frame, at
                return
            self._graph, self._kind = _made_for(frame), kind
        before = self._held.get(self._count - 1)
        if before is not None and at - before <= _SLOWEST:
            self._step = at - before
        self._held[self._count] = at
        frame.pts, frame.time_base = self._count, Fraction(1)
        self._count += 1
        self._graph.push(frame)
        yield from self._come(self._graph)

    def rest(self) -> Iterator[tuple[VideoFrame, Fraction]]:
        """What is still in here. What comes next stands by itself."""
        if self._graph is not None:
            self._graph.push(None)
            yield from self._come(self._graph)
        self._graph, self._held = None, {}
        self._count = self._given = 0

    def _come(self, graph: Graph) -> Iterator[tuple[VideoFrame, Fraction]]:
        while True:
            try:
                picture = graph.pull()
            except (BlockingIOError, EOFError):
                return
            assert isinstance(picture, VideoFrame)
            # Its clock ticks once for each half.
            number, second = divmod(picture.pts or 0, 2)
            at = self._held[number]
            if second:
                following = self._held.get(number + 1, at + self._step)
                at += min(following - at, self._step) / 2
            self._held.pop(number - 1, None)
            self._given = number + 1
            yield picture, at


def _made_for(frame: VideoFrame) -> Graph:
    graph = Graph()
    begin = graph.add_buffer(
        width=frame.width, height=frame.height, format=frame.format, time_base=Fraction(1)
    )
    graph.link_nodes(begin, graph.add(_FILTER, _BOTH_HALVES), graph.add("buffersink")).configure()
    return graph
