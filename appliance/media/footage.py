"""Films of any make, opened to be looked at or cut: what is read, and from where.

Sources are anything that PyAV opens and that can be seeked: a plain file, or a `JoinedFile` that is
unsealed as it is read. Only what is needed is read: from the key frame before a moment.
"""

# PyAV's packets are generic for the type checker and not when they run.
from __future__ import annotations

import contextlib
import itertools
import struct
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Protocol, TypeAlias, TypeVar, cast

import av
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.filter import Graph
from av.packet import Packet
from av.sidedata.sidedata import SideDataContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from appliance.media.wire import FilmRefusal, Source, refusal

_BEFORE_SOUND = Fraction(1, 10)
"""Seconds. A decoder of sound needs what came before, or its first block is wrong."""
_STEPS_BACK = (Fraction(0), Fraction(3), Fraction(15))
"""Seconds. In an open group the frames just before a key frame need the group before it."""
_APART = 10
"""Seconds by which picture and sound may lie apart in a file before one is taken to have ended."""
_SOME_RATE = Fraction(25)
_A_LITTLE, _AT_ONCE = 1 << 15, 1 << 18
"""Bytes that are asked of a source at once: libav's own measure, and for reading all of it."""

_TURNS = {
    (1, 0, 0, 1): (),
    (0, 1, -1, 0): ("transpose=clock",),
    (-1, 0, 0, -1): ("hflip", "vflip"),
    (0, -1, 1, 0): ("transpose=cclock",),
    (-1, 0, 0, 1): ("hflip",),
    (1, 0, 0, -1): ("vflip",),
    (0, 1, 1, 0): ("transpose=cclock_flip",),
    (0, -1, -1, 0): ("transpose=clock_flip",),
}
"""Where a step to the right and one down go, each to the right and down, and what turns so."""
_STEADY = Fraction(1, 50)
"""Sound whose time is off by less than this is taken to follow on: containers round times."""
_FLOAT = 4

_T = TypeVar("_T")
Seconds: TypeAlias = "Fraction | float"
Packets: TypeAlias = "list[Packet[Any]]"
Progress: TypeAlias = "Callable[[float], None]"


class Out(Protocol):
    def write(self, data: bytes, /) -> object: ...


@dataclass(frozen=True)
class Span:
    """What a film has between two moments, and what its decoders need from before."""

    picture: Packets
    sound: Packets
    turn: bytes | None
    """`turn_of` the picture."""


class Footage:
    """An opened film: its picture, its sound if it has any, and what is read of them."""

    def __init__(self, film: InputContainer) -> None:
        """Raises BadFile if there is no picture, or nothing says how long it is."""
        # What libav has no decoder for has no context.
        pictures = [track for track in film.streams.video if track.codec_context]
        sounds = [track for track in film.streams.audio if track.codec_context]
        if not pictures or not pictures[0].codec_context.width:
            raise refusal(FilmRefusal.NONE_SEEN)
        self._film = film
        self.picture = pictures[0]
        self.sound = sounds[0] if sounds else None
        self.base = time_base(self.picture)
        # Now: what a film says of itself changes while it is read.
        self.rate = Fraction(self.picture.average_rate or _SOME_RATE)
        self.aspect = Fraction(self.picture.codec_context.sample_aspect_ratio or 1)
        """Of a pixel."""
        self.length = self._length()

    def on_ticks(self, seconds: Seconds) -> Fraction:
        """The film's own tick nearest to `seconds`: 0.1 as a float is not a tenth."""
        return round(Fraction(seconds) / self.base) * self.base

    def check(self, start: Fraction, end: Fraction | None = None) -> None:
        """Raises BadInput for marks that are not in order or not in the film."""
        if end is not None and end <= start:
            raise refusal(FilmRefusal.ENDS_BEFORE, end=said(end), start=said(start))
        if start < 0:
            raise refusal(FilmRefusal.BEFORE_ZERO)
        # A mark at the end may have been rounded up: it is past it by more than a frame.
        past = end is not None and end > self.length + 1 / self.rate
        if start >= self.length or past:
            mark = max(start, end or start)
            raise refusal(FilmRefusal.PAST_THE_END, end=said(self.length), at=said(mark))

    def read(
        self,
        start: Fraction,
        end: Fraction,
        sound: AudioStream | None,
        progress: Progress = lambda done: None,
    ) -> Span:
        """What lies between the moments, up to the first picture behind them. Raises BadFile."""
        packets, turn = self._from_before(start, sound)
        span = Span([], [], turn)
        begin, stop, apart = (int(time / self.base) for time in (start, end, end + _APART))
        silent = int((end + _BEFORE_SOUND) / time_base(sound)) if sound else 0
        behind = apart
        sees, hears = True, sound is not None
        for packet in packets:
            if packet.stream_index != self.picture.index:
                span.sound.append(packet)
                hears = packet.pts is None or packet.pts < silent
            else:
                if sees:
                    span.picture.append(packet)
                shown = packet.pts
                if shown is not None:
                    if shown >= stop:
                        behind = min(behind, shown)
                        hears = hears and shown < apart
                    elif shown > begin:
                        progress((shown - begin) / (stop - begin))
                if packet.dts is None:
                    # It is not said when it is decoded: then all is read for a while.
                    sees = sees and (shown is None or shown < apart)
                else:
                    # What is decoded later is shown later still.
                    sees = sees and packet.dts < behind
            if not (sees or hears):
                break
        return span

    def frames(self, packets: Iterable[Packet[Any]]) -> Iterator[tuple[Fraction, VideoFrame]]:
        """The frames in these packets, and the second at which each is shown. Raises BadFile."""
        context = self.picture.codec_context
        context.flush_buffers()
        with reading():
            for packet in (*packets, None):
                for frame in context.decode(packet):
                    yield when(frame, self.base), frame

    def key_frame(self, at: Fraction) -> Packet[Any] | None:
        """The last picture at or before `at` that needs no other, as far as the file knows; if
        there is none before, the first."""
        found = None
        for step in _STEPS_BACK:
            packets = self._packets(max(at - step, Fraction(0)), [self.picture])
            found = next((packet for packet in packets if packet.is_keyframe), None)
            # A file without an index may lead to a place between key frames.
            if found is None or found.pts is None or found.pts * self.base <= at:
                break
        return found

    def heard(
        self, packets: Iterable[Packet[Any]] | None, layout: str | None = None, rate: int = 0
    ) -> Iterator[AudioFrame]:
        """The sound in these packets (None: in all there are) as planes of floats, in pieces that
        all have a time; of its own layout and rate unless they are given. Raises BadFile."""
        if self.sound is None:
            return
        base = time_base(self.sound)
        # A resampler that has nothing to do still takes its time.
        as_it_is = layout is None and not rate
        form: tuple[str, str, int] | None = None
        resampler: AudioResampler | None = None
        with reading():
            every = self._packets(Fraction(0), [self.sound]) if packets is None else packets
            for packet in itertools.chain(every, [None]):
                for frame in self.sound.codec_context.decode(packet):
                    frame.time_base = base
                    if as_it_is and frame.format.name == "fltp" and resampler is None:
                        yield _timed(frame)
                        continue
                    # A source may change its form midway; a resampler may not.
                    now = (frame.format.name, frame.layout.name, frame.sample_rate)
                    if form != now:
                        yield from _pieces(resampler, None)
                        form, resampler = now, AudioResampler("fltp", layout, rate or None)
                    yield from _pieces(resampler, frame)
            yield from _pieces(resampler, None)

    def _from_before(
        self, start: Fraction, sound: AudioStream | None
    ) -> tuple[Iterator[Packet[Any]], bytes | None]:
        """The packets of both tracks as they come, from where on the picture that is seen at
        `start` and its sound can be decoded; and how the picture is to be turned."""
        self.picture.codec_context.thread_type = "AUTO"
        tracks: list[VideoStream | AudioStream] = [self.picture]
        tracks += [sound] if sound else []
        before = _BEFORE_SOUND if sound else Fraction(0)
        places = [place for step in _STEPS_BACK if (place := start - before - step) > 0]
        for place in [*places, Fraction(0)]:
            packets = self._packets(place, tracks)
            head, first = self._to_first_picture(packets)
            if first is not None and when(first, self.base) <= start:
                break
        return itertools.chain(head, packets), None if first is None else turn_of(first)

    def _packets(
        self, at: Fraction, tracks: list[VideoStream | AudioStream]
    ) -> Iterator[Packet[Any]]:
        """What the tracks have from the key frame of the first of them before `at` on."""
        with reading():
            self._film.seek(int(at / time_base(tracks[0])), stream=tracks[0])
            yield from (packet for packet in self._film.demux(*tracks) if packet.size)

    def _to_first_picture(
        self, packets: Iterator[Packet[Any]]
    ) -> tuple[Packets, VideoFrame | None]:
        """The packets that it takes until a picture comes out of the decoder, and that picture."""
        head = []
        context = self.picture.codec_context
        context.flush_buffers()
        with reading():
            for packet in packets:
                head.append(packet)
                if packet.stream_index == self.picture.index:
                    for frame in context.decode(packet):
                        return head, frame
            return head, next(iter(context.decode(None)), None)

    def _length(self) -> Fraction:
        if self.picture.duration:
            return ((self.picture.start_time or 0) + self.picture.duration) * self.base
        if self._film.duration:
            return Fraction((self._film.start_time or 0) + self._film.duration, av.time_base)
        raise refusal(FilmRefusal.NO_LENGTH)


@contextlib.contextmanager
def opened(source: Source, *, whole: bool = False) -> Iterator[Footage]:
    """The film in `source`, for as long as it is needed; `whole`: most of it will be read.

    What reading the source raised is raised on leaving, whatever came of it. Raises BadFile if it
    is not a film, NotPossible if libav has other reasons.
    """
    guarded = _Guarded(source)
    try:
        with reading():
            at_once = _AT_ONCE if whole else _A_LITTLE
            film = av.open(guarded, "r", buffer_size=at_once, metadata_errors="replace")
        with film:
            yield Footage(film)
    except av.error.FFmpegError as error:
        # Not of the reading, which has words of its own.
        raise refusal(FilmRefusal.NOT_POSSIBLE) from error
    finally:
        if guarded.error is not None:
            raise guarded.error


@contextlib.contextmanager
def reading() -> Iterator[None]:
    """What the library says of a source that it cannot read, in our words."""
    try:
        yield
    except av.error.FFmpegError as error:
        raise refusal(FilmRefusal.UNREADABLE) from error


def _pieces(resampler: AudioResampler | None, frame: AudioFrame | None) -> Iterator[AudioFrame]:
    """What comes out of a resampler for a frame; for None, what it still holds."""
    for piece in resampler.resample(frame) if resampler else ():
        # One that has nothing to do gives back what it was given.
        if piece is not None:
            yield _timed(piece)


def _timed(piece: AudioFrame) -> AudioFrame:
    if piece.pts is None:
        raise refusal(FilmRefusal.NO_TIMES)
    return piece


def time_base(thing: VideoStream | AudioStream) -> Fraction:
    if thing.time_base is None:
        raise refusal(FilmRefusal.NO_CLOCK)
    return thing.time_base


def when(frame: VideoFrame, base: Fraction) -> Fraction:
    """Seconds at which a frame appears, exactly; `base` is its track's. Raises BadFile."""
    if frame.pts is None:
        raise refusal(FilmRefusal.NO_TIMES)
    return frame.pts * base


def turn_of(frame: VideoFrame) -> bytes | None:
    """How a player is to turn the picture, if it is: the matrix of ISO/IEC 14496-12, 6.2.2."""
    # Not `frame.side_data`: the frame would hold what holds it, and stay in memory until Python
    # looks for such circles. And the type of the side data names only one of those that there are.
    side: Any = cast(Any, SideDataContainer)(frame).get("DISPLAYMATRIX")
    return struct.pack(">9i", *struct.unpack("=9i", bytes(side))) if side else None


class Upright:
    """Turns the pictures of a film as a player is to turn them."""

    def __init__(self, first: VideoFrame) -> None:
        """As `first` says, one of them as it came from the decoder. What stands askew stays so."""
        self._turns = _turns(first)
        self._graph: tuple[object, Graph] | None = None

    @property
    def is_sideways(self) -> bool:
        """Whether the width of a picture is its height once it is upright."""
        return any(name.startswith("transpose") for name in self._turns)

    def turned(self, picture: VideoFrame) -> VideoFrame:
        """The picture, upright; its time is not kept."""
        if not self._turns:
            return picture
        kind = (picture.width, picture.height, picture.format.name)
        if self._graph is None or self._graph[0] != kind:
            self._graph = kind, self._made_for(picture)
        graph = self._graph[1]
        graph.push(picture)
        turned = graph.pull()
        assert isinstance(turned, VideoFrame)
        return turned

    def _made_for(self, picture: VideoFrame) -> Graph:
        graph = Graph()
        begin = graph.add_buffer(
            width=picture.width,
            height=picture.height,
            format=picture.format,
            time_base=Fraction(1, 25),
        )
        steps = [graph.add(*turn.split("=")) for turn in self._turns]
        graph.link_nodes(begin, *steps, graph.add("buffersink")).configure()
        return graph


def _turns(frame: VideoFrame) -> tuple[str, ...]:
    """The filters that make a picture upright."""
    matrix = turn_of(frame)
    if matrix is None:
        return ()
    a, b, _, c, d = struct.unpack(">5i", matrix[:20])
    return _TURNS.get(tuple(max(-1, min(1, round(one / 65536))) for one in (a, b, c, d)), ())


class Sounds:
    """Samples of a film from number `start` on, each where it belongs, and silence in between."""

    def __init__(self, layout: str, rate: int, start: int, stop: int | None = None) -> None:
        """`layout` is mono or stereo; nothing is kept from `stop` on."""
        self._layout, self._rate, self._stop = layout, rate, stop
        self._channels = [bytearray() for _ in range(1 if layout == "mono" else 2)]
        self._next, self._taken = start, 0
        """`_next`: the sample that is to follow, counted from the start of the film."""
        self._heard: int | None = None
        """The sample behind the last one that the source gave."""

    @property
    def waiting(self) -> int:
        """Samples that have come and are in no block yet."""
        return len(self._channels[0]) // _FLOAT

    def add(self, at: int, part: AudioFrame) -> None:
        """Keep what of `part`, whose first sample is number `at` of the film, is wanted."""
        if self._heard is not None and abs(at - self._heard) < _STEADY * self._rate:
            at = self._heard
        self._heard = end = at + part.samples
        stop = end if self._stop is None else self._stop
        self.fill(min(at, stop))
        first, last = self._next - at, min(part.samples, stop - at)
        if first < last:
            for channel, plane in zip(self._channels, part.planes, strict=True):
                channel += bytes(plane)[first * _FLOAT : last * _FLOAT]
            self._next += last - first

    def fill(self, until: int) -> None:
        """Silence up to sample number `until`."""
        missing = max(until - self._next, 0)
        for channel in self._channels:
            channel += bytes(missing * _FLOAT)
        self._next += missing

    def blocks(self, samples: int, *, rest: bool = False) -> Iterator[AudioFrame]:
        """What has come, in blocks of so many samples, counted from 0; `rest`: also the last."""
        least = 1 if rest else samples
        while (count := min(self.waiting, samples)) >= least:
            block = AudioFrame("fltp", self._layout, count)
            for channel, plane in zip(self._channels, block.planes, strict=True):
                plane.update(bytes(channel[: count * _FLOAT]))
                del channel[: count * _FLOAT]
            block.sample_rate = self._rate
            block.pts, block.time_base = self._taken, Fraction(1, self._rate)
            self._taken += count
            yield block


def said(seconds: Fraction) -> str:
    """Seconds as they are told to a person."""
    return f"{float(seconds):.3f} s"


class _Guarded:
    """A source whose first error waits here, for nothing may be raised into libav: from then on it
    only sees the end of the file."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self.error: Exception | None = None

    def read(self, size: int = -1, /) -> bytes:
        return self._asked(lambda: self._source.read(size) or b"", b"")

    def seek(self, offset: int, whence: int = 0, /) -> int:
        return self._asked(lambda: self._source.seek(offset, whence), -1)

    def tell(self) -> int:
        return self._asked(self._source.tell, -1)

    def _asked(self, ask: Callable[[], _T], otherwise: _T) -> _T:
        if self.error is None:
            try:
                return ask()
            except Exception as error:
                self.error = error
        return otherwise
