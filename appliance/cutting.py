"""Clips and stills, exact to the frame, with nothing in them from outside the marks.

A copied stream would keep up to a second from before the mark behind an edit list. Here a picture
is copied, bit for bit, if it and all that it is made from lie between the marks; the others, up to
the next key frame (of our own films: half a second, in the middle), are decoded and encoded again.
Sound is encoded again, to the sample, for that costs next to nothing. What goes into the file is
what lies between the marks and nothing else: no hidden frame, no date, no device, no name.

Sources are anything that PyAV opens and that can be seeked: a plain file, or a `JoinedFile` that is
unsealed as it is read. Only what is needed is read: from the key frame before the mark.
"""

# PyAV's packets are generic for the type checker and not when they run.
from __future__ import annotations

import contextlib
import itertools
import struct
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Protocol, TypeAlias, TypeVar, cast

import av
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream
from av.codec.context import CodecContext, Flags
from av.container import InputContainer
from av.packet import Packet
from av.video.frame import PictureType, VideoFrame
from av.video.stream import VideoStream

from appliance import avc, boxes
from appliance.errors import BadFile, BadInput, NotPossible

_PICTURE = {"bf": "0", "g": "60", "forced-idr": "1"}
_ALL_OF_IT = {"preset": "veryfast", "crf": "17"}
_AN_EDGE = {"preset": "ultrafast", "crf": "14"}
"""The few pictures before a copied one may be large; they should be good, and soon done."""
_PROFILES = {
    avc.BASELINE: "cabac=0:8x8dct=0:weightp=0",
    avc.MAIN: "cabac=1:8x8dct=0",
    avc.HIGH: "8x8dct=1",
}
"""What x264 must use and leave out for its pictures to be of a profile."""
_EIGHT_BIT_420 = ("yuv420p", "yuvj420p")
_COARSEST = 10_000
"""Ticks a second below which it could not be said well enough where sound begins and ends."""
_SOUND_BIT_RATE = 160_000
_SOUND_RATES = (48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000)
_SOUND_BLOCK = 1024
_STEADY = Fraction(1, 50)
"""Sound whose time is off by less than this is taken to follow on: containers round times."""
_FLOAT = 4
_BEFORE_SOUND = Fraction(1, 10)
"""A decoder of sound needs what came before, or its first block is wrong."""
_STEPS_BACK = (Fraction(0), Fraction(3), Fraction(15))
"""Seconds. In an open group the frames just before a key frame need the group before it."""
_APART = 10
"""Seconds by which picture and sound may lie apart in a file before one is taken to have ended."""
_SOME_RATE = Fraction(25)
_NOT_SAID, _FULL_RANGE = (2, 2, 2), 2
"""Of colours, as ISO/IEC 23091-2 and libav have it."""
_READ, _PICTURED = 0.1, 0.9
"""How far a clip is when all is read, and when its pictures are made."""

_T = TypeVar("_T")
Seconds = Fraction | float
Packets: TypeAlias = "list[Packet[Any]]"


class Source(Protocol):
    """A film that can be read from anywhere."""

    def read(self, size: int = -1, /) -> bytes | None: ...
    def seek(self, offset: int, whence: int = 0, /) -> int: ...
    def tell(self) -> int: ...


class Out(Protocol):
    def write(self, data: bytes, /) -> object: ...


@dataclass(frozen=True)
class Cut:
    """What went into a clip, in seconds of its source: when the first frame and the last one
    appear, and when the last one goes. `copied` of the `frames` are the source's own."""

    frames: int
    copied: int
    first: Fraction
    last: Fraction
    end: Fraction
    sound: bool


def cut(
    source: Source,
    start: Seconds,
    end: Seconds,
    out: Out,
    progress: Callable[[float], None] = lambda done: None,
) -> Cut:
    """Write the frames that appear in [start, end) seconds, and the sound that goes with them, to
    `out` as an MP4 that any phone plays. `out` gets it whole at the end, or nothing.

    The first frame is shown at 0 and the sound starts with it. The clip is held in memory: about
    a megabyte a second. `progress` is told now and then how far the work is, from 0 to 1; what it
    raises ends the work. Raises BadInput for marks that are not in the film, not in order or within
    one frame, BadFile if the source is not a film; what reading the source raises passes through.
    """
    with _opened(source) as film:
        picture = _picture_of(film)
        start, end = _on_ticks(start, picture), _on_ticks(end, picture)
        _check_marks(film, picture, start, end)
        sound = film.streams.audio[0] if film.streams.audio else None
        pictures = _Pictures(picture, start, end)
        span = _read(film, picture, sound, start, end, progress)
        pictures.make(span, progress)
        if not pictures.count:
            raise BadInput(
                f"There is no frame between {_said(start)} and {_said(end)}.",
                "Set the marks further apart.",
            )
        if pictures.count == 1 and end < pictures.end:
            raise BadInput("Both marks are within one frame.", "Set the marks further apart.")
        tracks = [pictures.track()]
        if sound:
            progress(_PICTURED)
            tracks.append(_Sounds(sound, pictures.first, end).track(span.sound))
        progress(1.0)
    for part in boxes.plain_film(tracks):
        out.write(part)
    return Cut(
        frames=pictures.count,
        copied=pictures.copied,
        first=pictures.first,
        last=pictures.last,
        end=pictures.end,
        sound=sound is not None,
    )


def still(source: Source, at: Seconds, out: Out) -> Fraction:
    """Write the frame that is seen at `at` seconds to `out` as a JPEG, and say when it appeared.

    Raises BadInput if `at` is not in the film, BadFile if the source is not a film.
    """
    with _opened(source) as film:
        picture = _picture_of(film)
        at = _on_ticks(at, picture)
        _check_marks(film, picture, at, None)
        seen = None
        for time, frame in _decoded(picture, _read(film, picture, None, at, at).picture):
            if time > at:
                break
            moment, seen = time, frame
        if seen is None:
            raise BadInput(f"There is no picture at {_said(at)}.")
        picture_file = _jpeg(seen)
    out.write(picture_file)
    return moment


# --- Reading ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Span:
    """What a film has between two marks, and what its decoders need from before."""

    picture: Packets
    sound: Packets
    turn: bytes | None
    """How a player is to turn the picture (ISO/IEC 14496-12, 6.2.2)."""


def _read(
    film: InputContainer,
    picture: VideoStream,
    sound: AudioStream | None,
    start: Fraction,
    end: Fraction,
    progress: Callable[[float], None] = lambda done: None,
) -> _Span:
    """What lies between the marks, up to the first picture behind them. Raises BadFile."""
    packets, turn = _from_before(film, picture, sound, start)
    span = _Span([], [], turn)
    base = _time_base(picture)
    begin, stop, apart = (int(time / base) for time in (start, end, end + _APART))
    silent = int((end + _BEFORE_SOUND) / _time_base(sound)) if sound else 0
    behind = apart
    sees, hears = True, sound is not None
    for packet in packets:
        if packet.stream_index != picture.index:
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
                    progress(_READ * (shown - begin) / (stop - begin))
            # What is decoded later is shown later still. Some films do not say when: then a while.
            until = (packet.dts, behind) if packet.dts is not None else (shown or begin, apart)
            sees = sees and until[0] < until[1]
        if not (sees or hears):
            break
    return span


def _from_before(
    film: InputContainer, picture: VideoStream, sound: AudioStream | None, start: Fraction
) -> tuple[Iterator[Packet[Any]], bytes | None]:
    """The packets of both tracks as they come, from where on the picture that is seen at `start`
    and its sound can be decoded; and how the picture is to be turned. Raises BadFile."""
    picture.codec_context.thread_type = "AUTO"
    tracks: list[VideoStream | AudioStream] = [picture, sound] if sound else [picture]
    before = _BEFORE_SOUND if sound else Fraction(0)
    places = [place for step in _STEPS_BACK if (place := start - before - step) > 0]
    for place in [*places, Fraction(0)]:
        packets = _packets(film, int(place / _time_base(picture)), tracks)
        head, first = _to_first_picture(picture, packets)
        if first is not None and _time(first, picture) <= start:
            break
    return itertools.chain(head, packets), None if first is None else _turn(first)


def _packets(
    film: InputContainer, ticks: int, tracks: list[VideoStream | AudioStream]
) -> Iterator[Packet[Any]]:
    """What the tracks have from the key frame of the first of them before `ticks` of it on."""
    with _reading():
        film.seek(ticks, stream=tracks[0])
        yield from (packet for packet in film.demux(*tracks) if packet.size)


def _to_first_picture(
    picture: VideoStream, packets: Iterator[Packet[Any]]
) -> tuple[Packets, VideoFrame | None]:
    """The packets that it takes until a picture comes out of the decoder, and that picture."""
    head = []
    context = picture.codec_context
    context.flush_buffers()
    with _reading():
        for packet in packets:
            head.append(packet)
            if packet.stream_index == picture.index:
                for frame in context.decode(packet):
                    return head, frame
        return head, next(iter(context.decode(None)), None)


def _decoded(
    picture: VideoStream, packets: Iterable[Packet[Any]]
) -> Iterator[tuple[Fraction, VideoFrame]]:
    """The frames in these packets, as they are shown, and when they appear. Raises BadFile."""
    picture.codec_context.flush_buffers()
    with _reading():
        for packet in (*packets, None):
            for frame in picture.codec_context.decode(packet):
                yield _time(frame, picture), frame


# --- The picture of a clip ----------------------------------------------------------------------


@dataclass(frozen=True)
class _Sample:
    """One coded picture, and when it is shown, in ticks of the clip from the film's beginning."""

    shown: int
    data: bytes
    key: bool


class _Pictures:
    """The pictures of a clip, each shown for as long as it was: copied where nothing from outside
    the marks comes with that, and encoded again where it would."""

    def __init__(self, source: VideoStream, start: Fraction, end: Fraction) -> None:
        """To be made before anything is read: what a film says of itself changes then."""
        self._source = source
        self._rate = source.average_rate or _SOME_RATE
        self._film_end = _picture_end(source) or Fraction(0)
        base = _time_base(source)
        self._scale, self._step = base.denominator, base.numerator
        while self._scale < _COARSEST:
            self._scale, self._step = 2 * self._scale, 2 * self._step
        self._start, self._stop = int(start * self._scale), int(end * self._scale)
        self._parameters = _parameters(source)
        self._encoder: _Encoder | None = None
        self._samples: list[_Sample] = []
        self.count = self.copied = 0

    def make(self, span: _Span, progress: Callable[[float], None]) -> None:
        """Copy and encode; the rest can be asked for when this is done. Raises BadFile."""
        self._packets, self._turn = span.picture, span.turn
        self._times = [
            None if packet.pts is None else packet.pts * self._step for packet in self._packets
        ]
        self._units = _units(self._packets, self._parameters)
        copies = self._copies()
        copied = [self._copy(number) for number in copies]
        made = self._encoded(copies, progress)
        # The encoder was given those in front first; then those behind.
        front = [sample for sample in made if not copied or sample.shown < copied[0].shown]
        self._samples = front + copied + made[len(front) :]
        self.count, self.copied = len(self._samples), len(copied)
        self._order = sorted(sample.shown for sample in self._samples)

    @property
    def first(self) -> Fraction:
        """Seconds of the source, as are `last` and `end`."""
        return Fraction(self._order[0], self._scale)

    @property
    def last(self) -> Fraction:
        return Fraction(self._order[-1], self._scale)

    @property
    def end(self) -> Fraction:
        """When the last picture goes: the next one comes, or the film ends."""
        behind = [time for time in self._times if time is not None and time >= self._stop]
        if behind:
            return Fraction(min(behind), self._scale)
        return max(self._film_end, self.last + 1 / self._rate)

    def track(self) -> boxes.Coded:
        """The track, number 1 of the clip."""
        order, begin = self._order, self._order[0]
        # A picture can be shown when it is decoded, or later: where some are out of order, all are
        # shown later by as much as the worst of them.
        shown = [sample.shown for sample in self._samples]
        delay = max(map(int.__sub__, order, shown))
        end = round(self.end * self._scale) - begin
        table = boxes.Table(self._scale)
        table.times = array("q", (time - begin for time in order))
        table.end = end
        table.shifts = array("q", (a - b + delay for a, b in zip(shown, order, strict=True)))
        table.shown = (delay, delay + end) if delay else None
        keys = [number for number, sample in enumerate(self._samples) if sample.key]
        table.keys = array("I", keys if len(keys) < len(self._samples) else ())
        like = self._source.codec_context
        trak = boxes.picture_trak(
            1,
            self._scale,
            self._encoder.size if self._encoder else (like.width, like.height),
            self._record(),
            aspect=Fraction(like.sample_aspect_ratio or 1),
            colours=_colours(self._source),
            matrix=self._turn,
        )
        return boxes.Coded(trak, table, [sample.data for sample in self._samples])

    def _record(self) -> bytes:
        """What the decoder has to know: of the source's pictures, of ours, or of both."""
        if self._encoder is None:
            assert self._parameters is not None
            return self._parameters.record()
        if self.copied and self._parameters:
            return self._parameters.with_others(self._encoder.parameters).record()
        return self._encoder.parameters.record()

    def _is_inside(self, number: int) -> bool:
        """Whether a packet's picture is shown in the film, and between the marks."""
        time = self._times[number]
        hidden = self._packets[number].is_discard
        return time is not None and self._start <= time < self._stop and not hidden

    def _copies(self) -> range:
        """Which packets are copied: the first run that begins with a picture that needs none before
        it, and of which all are inside and shown with no other in between."""
        times = [time for time in self._times if time is not None]
        if not self._units or len(times) < len(self._times):
            return range(0)
        inside = [self._is_inside(number) for number in range(len(times))]
        following = array("q", [self._stop]) * (len(times) + 1)
        for number in reversed(range(len(times))):
            found = times[number] if inside[number] else self._stop
            following[number] = min(found, following[number + 1])
        latest = self._start - 1
        begin = None
        for number, time in enumerate(times):
            if inside[number]:
                anew = avc.begins_anew(self._units[number]) and time == following[number]
                if anew and latest < time:
                    begin = number
                    break
                latest = max(latest, time)
        if begin is None:
            return range(0)
        stop = begin
        for number in range(begin, len(times)):
            if not inside[number]:
                break
            latest = max(latest, times[number])
            if latest < following[number + 1]:
                stop = number + 1
        return range(begin, stop)

    def _copy(self, number: int) -> _Sample:
        packet, units, time = self._packets[number], self._units[number], self._times[number]
        assert self._parameters is not None and time is not None
        kept = avc.without_user_data(units)
        data = bytes(packet) if len(kept) == len(units) else self._parameters.packed(kept)
        return _Sample(time, data, packet.is_keyframe)

    def _encoded(self, copies: range, progress: Callable[[float], None]) -> list[_Sample]:
        """What is not copied, encoded again, in the order in which it is shown."""
        count = sum(map(self._is_inside, range(len(self._packets)))) - len(copies)
        for done, (time, frame, begins) in enumerate(self._broken(copies)):
            if self._encoder is None:
                beside = self._parameters if copies else None
                self._encoder = _Encoder(self._source, self._scale, self._rate, beside)
            self._encoder.take(frame, time, begins)
            progress(_READ + (_PICTURED - _READ) * min(done / max(count, 1), 1.0))
        return self._encoder.finish() if self._encoder else []

    def _broken(self, copies: range) -> Iterator[tuple[int, VideoFrame, bool]]:
        """The frames that have to be encoded again, when they are shown, and whether what is before
        them in the clip is not from the encoder."""
        if not copies:
            yield from self._frames(range(len(self._packets)), self._start, self._stop)
            return
        shown = [time for time in self._times[copies.start : copies.stop] if time is not None]
        first, last = min(shown), max(shown)
        if any(map(self._is_inside, range(copies.start))):
            yield from self._frames(range(copies.start), self._start, first)
        if any(map(self._is_inside, range(copies.stop, len(self._packets)))):
            yield from self._frames(range(copies.start, len(self._packets)), last + 1, self._stop)

    def _frames(
        self, among: range, start: int, stop: int
    ) -> Iterator[tuple[int, VideoFrame, bool]]:
        """The frames that are shown from `start` on and before `stop`."""
        begins, latest = True, start - 1
        for seconds, frame in _decoded(self._source, (self._packets[n] for n in among)):
            time = int(seconds * self._scale)
            if time >= stop:
                break
            if time > latest:
                yield time, frame, begins
                begins, latest = False, time


class _Encoder:
    """H.264 like that of `source`, to stand beside pictures with the parameters `beside`."""

    def __init__(
        self, source: VideoStream, scale: int, rate: Fraction, beside: avc.Parameters | None
    ) -> None:
        like = source.codec_context
        self._context = context = CodecContext.create("libx264", "w")
        # Phones want 4:2:0, and that wants even sides.
        self.size = context.width, context.height = like.width & ~1, like.height & ~1
        self._format = like.pix_fmt or ""
        if self._format not in _EIGHT_BIT_420:
            self._format = "yuvj420p" if self._format.startswith("yuvj") else "yuv420p"
        context.pix_fmt = self._format
        self._tick = context.time_base = Fraction(1, scale)
        context.framerate = rate
        if like.sample_aspect_ratio:
            context.sample_aspect_ratio = like.sample_aspect_ratio
        context.color_range, context.colorspace = like.color_range, like.colorspace
        context.color_primaries, context.color_trc = like.color_primaries, like.color_trc
        # Apart from the pictures, for they go into the head of the film.
        context.flags |= Flags.global_header
        options = _PICTURE | _ALL_OF_IT
        if beside:
            settings = f"sps-id={beside.free_number()}:{_PROFILES[beside.profile]}"
            options = _PICTURE | _AN_EDGE | {"x264-params": settings}
        context.options = options
        context.open()
        lengths = beside.length_size if beside else 4
        self.parameters = avc.Parameters.of_encoder(context.extradata or b"", lengths)
        self._samples: list[_Sample] = []

    def take(self, frame: VideoFrame, at: int, begins: bool) -> None:
        """Encode a frame that is shown `at` so many ticks; `begins`: it is to need none before."""
        shown = frame.reformat(*self.size, self._format)
        shown.pts, shown.time_base = at, self._tick
        # Else the encoder would make key frames where the source had them.
        shown.pict_type = PictureType.I if begins else PictureType.NONE
        self._keep(self._context.encode(shown))

    def finish(self) -> list[_Sample]:
        """Every picture."""
        self._keep(self._context.encode(None))
        return self._samples

    def _keep(self, packets: Sequence[Packet[Any]]) -> None:
        for packet in packets:
            # Without the message in which the encoder signs with its name and settings.
            units = avc.of_pictures(avc.units_between(bytes(packet)))
            data = self.parameters.packed(units)
            self._samples.append(_Sample(packet.pts or 0, data, packet.is_keyframe))


def _parameters(source: VideoStream) -> avc.Parameters | None:
    """What the decoder of `source` has to know; None if its pictures are not ones to copy."""
    like = source.codec_context
    record = like.extradata or b""
    if like.name != "h264" or like.pix_fmt not in _EIGHT_BIT_420 or record[:1] != b"\1":
        return None
    parameters = avc.Parameters.of_record(record)
    known = parameters.profile in _PROFILES and parameters.free_number() is not None
    return parameters if known and not (like.width | like.height) & 1 else None


def _units(packets: Packets, parameters: avc.Parameters | None) -> list[list[bytes]]:
    """The units of each packet; nothing if they could not be copied beside others."""
    if parameters is None or any(packet.is_corrupt for packet in packets):
        return []
    try:
        found = [parameters.units(bytes(packet)) for packet in packets]
    except BadFile:
        return []
    return found if all(map(parameters.knows_all_of, found)) else []


def _colours(source: VideoStream) -> tuple[int, int, int, bool] | None:
    like = source.codec_context
    codes = like.color_primaries, like.color_trc, like.colorspace
    return None if codes == _NOT_SAID else (*codes, like.color_range == _FULL_RANGE)


def _turn(frame: VideoFrame) -> bytes | None:
    """The matrix by which a player is to turn the picture, if the film has one."""
    # Its type names only one of the many that there are.
    side: Any = cast(Any, frame.side_data).get("DISPLAYMATRIX")
    return struct.pack(">9i", *struct.unpack("=9i", bytes(side))) if side else None


# --- The sound of a clip ------------------------------------------------------------------------


class _Sounds:
    """The sound of a clip, to the sample; silence where the source has none."""

    def __init__(self, source: AudioStream, start: Fraction, end: Fraction) -> None:
        rate = source.rate if source.rate in _SOUND_RATES else _SOUND_RATES[0]
        self._source = source
        self._layout = "mono" if source.codec_context.channels == 1 else "stereo"
        self._context = context = CodecContext.create("aac", "w")
        context.sample_rate, context.layout, context.format = rate, self._layout, "fltp"
        context.time_base, context.bit_rate = Fraction(1, rate), _SOUND_BIT_RATE
        # Else the encoder signs with its name.
        context.flags |= Flags.bitexact
        context.open()
        self._resampler = AudioResampler(format="fltp", layout=self._layout, rate=rate)
        self._rate = rate
        self._channels = [bytearray() for _ in range(context.channels)]
        self._start = self._next = round(start * rate)
        """`_next`: the sample that is to follow, counted from the start of the film."""
        self._stop = round(end * rate)
        self._heard: int | None = None
        """The sample behind the last one that the source gave."""
        self._written = 0
        self._made: Packets = []

    def track(self, packets: Packets) -> boxes.Coded:
        """The track, number 2 of the clip, out of what the source has. Raises BadFile."""
        for frame in self._decoded(packets):
            for part in self._resampler.resample(frame):
                self._add(round(_time(part, part) * self._rate), part)
            self._encode(_SOUND_BLOCK)
        for part in self._resampler.resample(None):
            self._add(round(_time(part, part) * self._rate), part)
        # Where the source has no more sound there is silence.
        self._fill(self._stop)
        self._encode(1)
        self._made += self._context.encode(None)
        begin = self._made[0].pts or 0
        end = self._stop - self._start - begin
        made = [packet for packet in self._made if (packet.pts or 0) - begin < end]
        table = boxes.Table(self._rate)
        table.times = array("q", ((packet.pts or 0) - begin for packet in made))
        table.end = table.times[-1] + _SOUND_BLOCK
        # What the encoder needs to begin is silence, and so is what fills its last block.
        table.shown = -begin, end
        config = self._context.extradata or b""
        trak = boxes.sound_trak(2, self._rate, len(self._channels), config)
        return boxes.Coded(trak, table, [bytes(packet) for packet in made])

    def _decoded(self, packets: Packets) -> Iterator[AudioFrame]:
        with _reading():
            for packet in (*packets, None):
                yield from self._source.codec_context.decode(packet)

    def _add(self, at: int, part: AudioFrame) -> None:
        """Keep what of `part`, whose first sample is number `at` of the film, is in the clip."""
        if self._heard is not None and abs(at - self._heard) < _STEADY * self._rate:
            at = self._heard
        self._heard = at + part.samples
        self._fill(min(at, self._stop))
        first, last = self._next - at, min(part.samples, self._stop - at)
        if first < last:
            for channel, plane in zip(self._channels, part.planes, strict=True):
                channel += bytes(plane)[first * _FLOAT : last * _FLOAT]
            self._next += last - first

    def _fill(self, until: int) -> None:
        """Silence up to the source's sample number `until`."""
        missing = max(until - self._next, 0)
        for channel in self._channels:
            channel += bytes(missing * _FLOAT)
        self._next += missing

    def _encode(self, at_least: int) -> None:
        while (samples := min(len(self._channels[0]) // _FLOAT, _SOUND_BLOCK)) >= at_least:
            frame = AudioFrame("fltp", self._layout, samples)
            for channel, plane in zip(self._channels, frame.planes, strict=True):
                plane.update(bytes(channel[: samples * _FLOAT]))
                del channel[: samples * _FLOAT]
            frame.sample_rate = self._rate
            frame.pts, frame.time_base = self._written, Fraction(1, self._rate)
            self._written += samples
            self._made += self._context.encode(frame)


# --- Opening, and what is asked of a film --------------------------------------------------------


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


@contextlib.contextmanager
def _opened(source: Source) -> Iterator[InputContainer]:
    """The film in `source`. What reading it raised is raised on leaving, whatever came of it."""
    guarded = _Guarded(source)
    try:
        with _reading():
            film = av.open(guarded, "r")
        with film:
            yield film
    except av.error.FFmpegError as error:
        # Not of the reading, which has words of its own.
        raise NotPossible(
            f"The film was read, but nothing could be made of it: {error.strerror}.",
            "Try it again; if it stays so, this computer lacks an encoder or memory.",
        ) from error
    finally:
        if guarded.error is not None:
            raise guarded.error


@contextlib.contextmanager
def _reading() -> Iterator[None]:
    """What the library says of a source that it cannot read, in our words."""
    try:
        yield
    except av.error.FFmpegError as error:
        raise BadFile(
            f"This film could not be read: {error.strerror}.",
            "Is it a film, and whole? Try whether a player shows it.",
        ) from error


def _picture_of(film: InputContainer) -> VideoStream:
    if not film.streams.video or not film.streams.video[0].codec_context.width:
        raise BadFile("There is no picture in this file.")
    return film.streams.video[0]


def _check_marks(
    film: InputContainer, picture: VideoStream, start: Fraction, end: Fraction | None
) -> None:
    """Raises BadInput for marks that are not in order or not in the film."""
    if end is not None and end <= start:
        raise BadInput(
            f"The clip would end at {_said(end)}, before it begins at {_said(start)}.",
            "Set the end after the beginning.",
        )
    if start < 0:
        raise BadInput("A film begins at 0 seconds.", "Set the mark later.")
    length = _length(film, picture)
    # A mark at the end may have been rounded up: it is past it by more than a frame.
    past = end is not None and end > length + 1 / (picture.average_rate or _SOME_RATE)
    if start >= length or past:
        mark = max(start, end or start)
        raise BadInput(
            f"The film ends at {_said(length)}; the mark is at {_said(mark)}.",
            "Set the mark earlier.",
        )


def _length(film: InputContainer, picture: VideoStream) -> Fraction:
    end = _picture_end(picture)
    if end is not None:
        return end
    if film.duration:
        return Fraction((film.start_time or 0) + film.duration, av.time_base)
    raise BadFile("This film does not say how long it is.", "Save it anew from a player.")


def _picture_end(picture: VideoStream) -> Fraction | None:
    """When the last frame goes, if the film says it of its picture alone."""
    if not picture.duration:
        return None
    return ((picture.start_time or 0) + picture.duration) * _time_base(picture)


def _time_base(thing: VideoStream | AudioStream | AudioFrame) -> Fraction:
    if thing.time_base is None:
        raise BadFile("This film has a track without a clock.")
    return thing.time_base


def _time(frame: VideoFrame | AudioFrame, clock: VideoStream | AudioFrame) -> Fraction:
    """Seconds at which a frame appears, exactly, counted by `clock`."""
    if frame.pts is None:
        raise BadFile("This film has frames without times.")
    return frame.pts * _time_base(clock)


def _on_ticks(seconds: Seconds, picture: VideoStream) -> Fraction:
    """The film's own tick nearest to `seconds`: 0.1 as a float is not a tenth."""
    return round(Fraction(seconds) / _time_base(picture)) * _time_base(picture)


def _said(seconds: Fraction) -> str:
    return f"{float(seconds):.3f} s"


def _jpeg(frame: VideoFrame) -> bytes:
    """`frame` as a JPEG of high quality that says nothing but the picture."""
    encoder = CodecContext.create("mjpeg", "w")
    encoder.width, encoder.height = frame.width, frame.height
    encoder.pix_fmt = "yuvj420p"
    encoder.time_base = Fraction(1, 25)
    encoder.sample_aspect_ratio = Fraction(1)
    encoder.qmin = encoder.qmax = 2
    encoder.flags |= Flags.bitexact
    picture = frame.reformat(format="yuvj420p")
    picture.pts, picture.time_base, picture.pict_type = 0, encoder.time_base, PictureType.NONE
    return b"".join(bytes(packet) for packet in encoder.encode(picture) + encoder.encode(None))
