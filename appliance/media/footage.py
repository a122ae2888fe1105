"""Films of any make, opened to be looked at or cut: what is read, and from where.

A film is everything from the first to the last of picture and sound. Where its picture begins late,
stands or ends early, the first one, the one before or the last one is seen meanwhile. Seconds of a
film count from its beginning; seconds of a file, from where its own clock says.

Sources are anything that PyAV opens and that can be seeked: a plain file, or a `JoinedFile` that is
unsealed as it is read. Only what is needed is read: from the key frame before a moment.
"""

# PyAV's packets are generic for the type checker and not when they run.
from __future__ import annotations

import contextlib
import io
import itertools
import struct
from collections.abc import Callable, Iterable, Iterator
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

from appliance.errors import BadFile
from appliance.media.colours import Light, light_of
from appliance.media.spans import (
    BEFORE_SOUND,
    KEPT_SOUND,
    TOLD,
    Clock,
    Found,
    Packets,
    Progress,
    Reached,
    Span,
)
from appliance.media.torn import readable
from appliance.media.wire import FilmRefusal, Source, refusal

_STEPS_BACK = (Fraction(0), Fraction(3), Fraction(15))
"""Seconds. In an open group the frames just before a key frame need the group before it."""
_SOME_RATE = Fraction(25)
_SLOWEST, _FASTEST = 5, 240
"""Pictures a second that a camera takes; what says else says how fine its clock is, or how seldom
the picture changed."""
_EDGE = Fraction(1, 25)
"""Seconds of sound before the first picture or behind the last that are an encoder's blocks."""
_FINEST = 10_000
"""Ticks a second below which it could not be said well enough where sound begins and ends."""
_ENDS_EARLY = 2
"""Seconds by which a film may be shorter than it says before a part of it is missing."""
_MOST_PACKETS = 5_000_000
"""More than a day of film has."""
_MOST_WITHOUT_KEY = 1000
"""Pictures after which one is taken to have none that needs no other."""
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


class Out(Protocol):
    def write(self, data: bytes, /) -> object: ...


class Footage:
    """An opened film: its picture, its sound if it has any, and what is read of them."""

    def __init__(self, film: InputContainer) -> None:
        """Raises BadFile if there is no picture, or several recordings follow each other."""
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
        self.aspect = aspect_of(self.picture)
        """Of a pixel."""
        self.scale = self.base.denominator
        """Ticks a second that are fine enough for every picture, mark and sample."""
        while self.scale < _FINEST:
            self.scale *= 2
        steady = _SLOWEST <= self.rate <= _FASTEST
        self.step = 1 / (self.rate if steady else _SOME_RATE)
        """Seconds between two pictures, where nothing else says how long one lasts."""
        heard = time_base(self.sound) if self.sound else None
        self._clock = Clock(self.picture.index, self.base, heard, int(self.step / self.base))
        self.begin = self._finely(self._begin())
        """Seconds of the file at which the film begins."""
        self.length = max(self._finely(self._end()) - self.begin, Fraction(1, self.scale))
        """Seconds."""

    @property
    def tracks(self) -> list[VideoStream | AudioStream]:
        return [self.picture, self.sound] if self.sound else [self.picture]

    @property
    def light(self) -> Light | None:
        """Of its pictures."""
        return light_in(self.picture)

    def on_ticks(self, seconds: Seconds) -> Fraction:
        """The film's own tick nearest to `seconds`: 0.1 as a float is not a tenth. Where its ticks
        are coarser than marks are told, the nearest of `scale`."""
        exact = Fraction(seconds)
        tick = round(exact / self.base) * self.base
        return tick if abs(tick - exact) < TOLD else self._finely(exact)

    def _finely(self, seconds: Fraction) -> Fraction:
        return Fraction(round(seconds * self.scale), self.scale)

    def check(self, start: Fraction, end: Fraction | None = None) -> None:
        """Raises BadInput for marks that are not in order or not in the film; in its seconds."""
        if end is not None and end <= start:
            raise refusal(FilmRefusal.ENDS_BEFORE, end=said(end), start=said(start))
        if start < 0:
            raise refusal(FilmRefusal.BEFORE_ZERO)
        # A mark at the end may have been rounded up, or be where the last block of sound ends.
        past = end is not None and end > self.length + max(self.step, _EDGE)
        if start >= self.length or past:
            mark = max(start, end or start)
            raise refusal(FilmRefusal.PAST_THE_END, end=said(self.length), at=said(mark))

    def read(
        self,
        start: Seconds,
        end: Seconds,
        *,
        sound: bool,
        progress: Progress = lambda done: None,
    ) -> Span:
        """What is seen, and with `sound` also what is heard, between two moments of the film, in
        the times of the file: from the picture that stands at the first up to the first behind the
        other. Raises BadFile, BadInput if the file breaks off before."""
        begin, stop = (self.on_ticks(self.begin + Fraction(one)) for one in (start, end))
        stop = min(stop, self.begin + self.length)
        packets, first = self._from_before(begin)
        found = Found(self._clock, begin, stop, sound=sound)
        whole = found.take(packets, progress)
        late = first is not None and when(first, self.base) > begin
        before = max(begin - BEFORE_SOUND / 2, self.begin)
        if sound and self.sound and (late or not found.is_heard_from(before)):
            # Where the picture leads to, the sound that is needed is not.
            found.sound = self._sound_between(self.sound, begin, stop)
        until = max(found.reached.picture, found.reached.sound)
        if whole and until < stop - _ENDS_EARLY:
            if until <= begin:
                there, at = until - self.begin, begin - self.begin
                raise refusal(FilmRefusal.PAST_THE_END, end=said(there), at=said(at))
            stop = until
        turn = None if first is None else turn_of(first)
        return Span(found.picture, found.sound, turn, found.meant(begin), found.meant(stop))

    def frames(self, packets: Iterable[Packet[Any]]) -> Iterator[tuple[Fraction, VideoFrame]]:
        """The frames in these packets, and the second at which each is shown. Raises BadFile."""
        context = self.picture.codec_context
        context.flush_buffers()
        with reading():
            for packet in (*packets, None):
                for frame in _decoded(context, packet):
                    yield when(frame, self.base), frame

    def key_frame(self, at: Fraction) -> Packet[Any] | None:
        """The last picture at or before second `at` of the film that needs no other, as far as the
        file knows; if there is none before, the first."""
        found = None
        at += self.begin
        for step in _STEPS_BACK:
            packets = self._packets(max(at - step, self._zero), [self.picture])
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
            every = self._packets(self._zero, [self.sound]) if packets is None else packets
            for packet in itertools.chain(every, [None]):
                for frame in _decoded(self.sound.codec_context, packet):
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

    @property
    def _zero(self) -> Fraction:
        """Seconds of the file before which there is nothing."""
        return min(self.begin, Fraction(0))

    def _from_before(self, start: Fraction) -> tuple[Iterator[Packet[Any]], VideoFrame | None]:
        """The packets of all tracks as they come, from where on the picture that is seen at
        `start` of the file and its sound can be decoded; and the first that comes of them."""
        self.picture.codec_context.thread_type = "AUTO"
        before = BEFORE_SOUND if self.sound else Fraction(0)
        places = [place for step in _STEPS_BACK if (place := start - before - step) > self.begin]
        for place in [*places, self._zero]:
            packets = self._packets(place, self.tracks)
            head, first = self._to_first_picture(packets)
            if first is not None and when(first, self.base) <= start:
                break
        return itertools.chain(head, packets), first

    def _packets(
        self, at: Fraction, tracks: list[VideoStream | AudioStream]
    ) -> Iterator[Packet[Any]]:
        """What the tracks have from the key frame of the first of them before second `at` of the
        file on. Where it is torn, that was all."""
        with reading():
            self._go_to(at, tracks[0])
            begun = False
            try:
                for packet in demuxed(self._film, *tracks):
                    if packet.size:
                        begun = True
                        yield packet
            except av.error.InvalidDataError:
                if not begun:
                    raise

    def _go_to(self, at: Fraction, track: VideoStream | AudioStream) -> None:
        """To the key frame of a track before second `at` of the file. Raises av.FFmpegError."""
        try:
            self._film.seek(int(at / time_base(track)), stream=track)
        except av.error.PermissionError:
            # A file without an index, in which this track begins late: by the other one.
            others = [one for one in self.tracks if one.index != track.index]
            if not others:
                raise
            self._film.seek(int(at / time_base(others[0])), stream=others[0])

    def _to_first_picture(
        self, packets: Iterator[Packet[Any]]
    ) -> tuple[Packets, VideoFrame | None]:
        """The packets that it takes until a picture comes out of the decoder, and that picture.
        What comes before the first key frame and needs an earlier one is left out."""
        head: Packets = []
        context = self.picture.codec_context
        context.flush_buffers()
        begun, waiting = False, 0
        with reading():
            for packet in packets:
                head.append(packet)
                if not self._is_picture(packet):
                    continue
                if packet.is_keyframe and waiting and not begun:
                    head = [one for one in head if not self._is_picture(one)]
                    head.append(packet)
                waiting += 1
                begun = begun or packet.is_keyframe or waiting > _MOST_WITHOUT_KEY
                if begun:
                    for frame in context.decode(packet):
                        return head, frame
            return head, next(iter(context.decode(None)), None)

    def _sound_between(self, sound: AudioStream, start: Fraction, stop: Fraction) -> Packets:
        """The sound from a little before `start` of the file on, wherever its picture is."""
        base = time_base(sound)
        first, last = int((start - KEPT_SOUND) / base), int((stop + BEFORE_SOUND) / base)
        found: Packets = []
        for packet in self._packets(max(first * base, self._zero), [sound]):
            if packet.pts is not None and packet.pts >= last:
                break
            if packet.pts is None or packet.pts >= first:
                found.append(packet)
        return found

    def _begin(self) -> Fraction:
        """Second of the file at which the first of picture and sound is."""
        if "mp4" in self._film.format.name.split(","):
            # Such a film may begin with nothing, and players show that.
            return Fraction(0)
        # What libav says that a track begins with may be the other's beginning; and where it is
        # asked for the first of one, it leaves out what the other has before.
        picture, *sounds = (self._first_of(track) for track in self.tracks)
        sound = sounds[0] if sounds else None
        if picture is None or (sound is not None and sound < picture - _EDGE):
            return sound or Fraction(0)
        return picture

    def _first_of(self, track: VideoStream | AudioStream) -> Fraction | None:
        """Second of the file at which a track begins."""
        packets = self._packets(Fraction(0), [track])
        return next((one.pts * time_base(track) for one in packets if one.pts is not None), None)

    def _is_picture(self, packet: Packet[Any]) -> bool:
        return packet.stream_index == self.picture.index

    def _end(self) -> Fraction:
        """Second of the file at which the last of picture and sound is over."""
        # MP4 has the length of each track. Of what states one for all, or none, the end is read.
        if all(track.duration for track in self.tracks):
            ends = [
                ((track.start_time or 0) + (track.duration or 0)) * time_base(track)
                for track in self.tracks
            ]
            picture, sound = ends[0], ends[-1]
        else:
            last = self._last()
            picture, sound = last.picture, last.sound
        return sound if sound > picture + _EDGE else picture

    def _last(self) -> Reached:
        """How far the packets at the end of the file go."""
        stated = Fraction(self._film.duration or 0, av.time_base)
        for place in ([self.begin + stated] if stated else []) + [self._zero]:
            last = Reached(self._clock)
            # Some places cannot be gone to.
            with contextlib.suppress(BadFile):
                for packet in itertools.islice(self._packets(place, self.tracks), _MOST_PACKETS):
                    last.take(packet)
            # A mark could mean any of them.
            if last.begins_again:
                raise refusal(FilmRefusal.BEGINS_AGAIN)
            if last.sees:
                break
        return last


def _decoded(context: Any, packet: Packet[Any] | None) -> list[Any]:
    """What comes of a packet; nothing of one of which a part is missing."""
    try:
        return list(context.decode(packet))
    except av.error.InvalidDataError:
        if packet is None or not packet.is_corrupt:
            raise
        return []


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
            there, _ = readable(guarded, guarded.seek(0, io.SEEK_END))
            guarded.seek(0)
            film = av.open(there, "r", buffer_size=at_once, metadata_errors="replace")
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


def demuxed(film: InputContainer, *tracks: VideoStream | AudioStream) -> Iterator[Packet[Any]]:
    """Every packet of these tracks, and then an empty one of each."""
    # A transport stream may name other tracks on the way, for which PyAV's `demux` has no place:
    # it says so once it has given everything of those that were asked for.
    with contextlib.suppress(IndexError):
        yield from film.demux(*tracks)


def aspect_of(track: VideoStream) -> Fraction:
    """Of a pixel, wherever it is stated; nonsense is not followed."""
    aspect = Fraction(track.sample_aspect_ratio or track.codec_context.sample_aspect_ratio or 1)
    return aspect if Fraction(1, 4) <= aspect <= 4 else Fraction(1)


def light_in(track: VideoStream) -> Light | None:
    """Of its pictures, as its decoder knows it."""
    coder = track.codec_context
    return light_of(coder.color_primaries, coder.color_trc)


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
