"""Clips: what is seen and heard between two marks, to the frame and to the sample.

A clip lasts from mark to mark, also where no picture changes: a call whose camera was off or stood
still, a picture that begins after the sound or ends before it. What stands at the first mark is
seen from there on, so it is in the clip, as a picture of its own; before the first picture of a
film that one stands, and behind the last one, the last. Nothing else from outside the marks is in
it: no hidden frame, no date, no device, no name.

A copied stream would keep up to a second from before the mark behind an edit list. Here a picture
is copied, bit for bit, if it and all that it is made from lie between the marks; the others, up to
the next key frame (of our own films: half a second, in the middle), are decoded and encoded again.
Sound is encoded again, to the sample, for that costs next to nothing, and is silence where there is
none.
"""

# PyAV's packets are generic for the type checker and not when they run.
from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from av.audio.stream import AudioStream
from av.codec.context import CodecContext, Flags
from av.packet import Packet
from av.video.frame import PictureType, VideoFrame
from av.video.stream import VideoStream

from appliance.errors import BadFile
from appliance.film import boxes
from appliance.media import avc
from appliance.media.footage import (
    Footage,
    Out,
    Seconds,
    Sounds,
    opened,
)
from appliance.media.spans import Packets, Progress, Span
from appliance.media.wire import Cut, FilmRefusal, Source, refusal

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
_SHORTEST = Fraction(1, 250)
"""Seconds: no camera's pictures are closer."""
_SOUND_BIT_RATE = 160_000
_SOUND_RATES = (48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000)
_SOUND_BLOCK = 1024
_NOT_SAID, _FULL_RANGE = (2, 2, 2), 2
"""Of colours, as ISO/IEC 23091-2 and libav have it."""
_READ, _PICTURED = 0.1, 0.9
"""How far a clip is when all is read, and when its pictures are made."""


def cut(
    source: Source,
    start: Seconds,
    end: Seconds,
    out: Out,
    progress: Progress = lambda done: None,
) -> Cut:
    """Write what is seen and heard in [start, end) seconds of a film to `out` as an MP4 that any
    phone plays. `out` gets it whole at the end, or nothing.

    The picture that stands at `start` is shown at 0, and the sound starts with it. A mark less than
    a thousandth of a second before a picture means that picture. The clip is held in memory: about
    a megabyte a second. `progress` is told now and then how far the work is, from 0 to 1; what it
    raises ends the work. Raises BadInput for marks that are not in the film, not in order or within
    one frame, BadFile if the source is not a film; what reading the source raises passes through.
    """
    with opened(source) as film:
        film.check(film.on_ticks(start), film.on_ticks(end))
        sound = film.sound
        span = film.read(start, end, sound=True, progress=lambda done: progress(_READ * done))
        if span.end - span.start < _SHORTEST:
            raise refusal(FilmRefusal.ONE_FRAME)
        pictures = _Pictures(film, span)
        pictures.make(progress)
        if not pictures.count:
            raise refusal(FilmRefusal.NOTHING_SHOWN)
        tracks = [pictures.track()]
        if sound:
            progress(_PICTURED)
            tracks.append(_Sounds(film, sound, span.start, span.end).track(span.sound))
        progress(1.0)
    for part in boxes.plain_film(tracks):
        out.write(part)
    return Cut(
        frames=pictures.count,
        copied=pictures.copied,
        first=span.start - film.begin,
        last=pictures.last - film.begin,
        end=span.end - film.begin,
        sound=sound is not None,
    )


# --- The picture of a clip ----------------------------------------------------------------------


@dataclass(frozen=True)
class _Sample:
    """One coded picture, and when it is shown, in ticks of the clip from the film's beginning."""

    shown: int
    data: bytes
    key: bool


class _Pictures:
    """The pictures of a clip, each shown for as long as it was between the marks: copied where
    nothing from outside them comes with that, and encoded again where it would."""

    def __init__(self, film: Footage, span: Span) -> None:
        self._film, self._source = film, film.picture
        self._packets, self._turn = span.picture, span.turn
        self._scale = film.scale
        self._start, self._stop = int(span.start * self._scale), int(span.end * self._scale)
        self._times = self._as_seen(int(film.base * self._scale))
        self._parameters = _parameters(film.picture)
        self._units = _units(self._packets, self._parameters)
        """Of each packet; nothing where none can be copied."""
        self._encoder: _Encoder | None = None
        self._samples: list[_Sample] = []
        self.count = self.copied = 0

    def make(self, progress: Progress) -> None:
        """Copy and encode; the rest can be asked for when this is done. Raises BadFile."""
        copies = self._copies()
        copied = [self._copy(number) for number in copies]
        made = self._encoded(copies, progress)
        # The encoder was given those in front first, then those behind.
        front = [sample for sample in made if not copied or sample.shown < copied[0].shown]
        self._samples = front + copied + made[len(front) :]
        self.count, self.copied = len(self._samples), len(copied)
        self._order = sorted(sample.shown for sample in self._samples)

    @property
    def last(self) -> Fraction:
        """Second of the file at which the last picture appears."""
        return Fraction(self._order[-1], self._scale)

    def track(self) -> boxes.Coded:
        """The track, number 1 of the clip."""
        order, begin = self._order, self._order[0]
        # A picture can be shown when it is decoded, or later: where some are out of order, all are
        # shown later by as much as the worst of them.
        shown = [sample.shown for sample in self._samples]
        delay = max(map(int.__sub__, order, shown))
        end = self._stop - begin
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
            aspect=self._film.aspect,
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

    def _as_seen(self, step: int) -> list[int | None]:
        """When the picture of each packet is seen: the first one of a film stands before it, too;
        it is not copied if it only appears behind the marks."""
        times = [None if packet.pts is None else packet.pts * step for packet in self._packets]
        shown = [
            time
            for time, packet in zip(times, self._packets, strict=True)
            if time is not None and not packet.is_discard
        ]
        first = min(shown, default=self._start)
        if self._start < first < self._stop:
            times[times.index(first)] = self._start
        return times

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

    def _encoded(self, copies: range, progress: Progress) -> list[_Sample]:
        """What is not copied, encoded again, in the order in which it is shown."""
        count = sum(map(self._is_inside, range(len(self._packets)))) - len(copies)
        for done, (time, frame, begins) in enumerate(self._broken(copies)):
            if self._encoder is None:
                beside = self._parameters if copies else None
                self._encoder = _Encoder(self._source, self._scale, self._film.rate, beside)
            self._encoder.take(frame, time, begins)
            progress(_READ + (_PICTURED - _READ) * min(done / max(count, 1), 1.0))
        return self._encoder.finish() if self._encoder else []

    def _broken(self, copies: range) -> Iterator[tuple[int, VideoFrame, bool]]:
        """The frames that have to be encoded again, when they are shown, and whether what is before
        them in the clip is not from the encoder."""
        if not copies:
            yield from self._seen(range(len(self._packets)), self._stop)
            return
        shown = [time for time in self._times[copies.start : copies.stop] if time is not None]
        first, last = min(shown), max(shown)
        if first > self._start:
            seen = self._seen(range(copies.start), first)
            stands = next(seen, None)
            if stands:
                yield stands
            else:
                seen = self._seen(range(copies.start, copies.start + 1), first)
            yield from seen
        if any(map(self._is_inside, range(copies.stop, len(self._packets)))):
            yield from self._behind(range(copies.start, len(self._packets)), last)

    def _seen(self, among: range, stop: int) -> Iterator[tuple[int, VideoFrame, bool]]:
        """What is seen from the first mark on and before `stop`: the picture that stands at the
        mark, or the first one if none does, and each further one as it appears."""
        stands: VideoFrame | None = None
        latest: int | None = None
        for time, frame in self._frames(among):
            if time <= self._start:
                stands = frame
                continue
            if latest is None:
                yield self._start, stands or frame, True
                latest = self._start if stands else time
            if time >= stop:
                return
            if time > latest:
                yield time, frame, False
                latest = time
        if latest is None and stands:
            yield self._start, stands, True

    def _behind(self, among: range, latest: int) -> Iterator[tuple[int, VideoFrame, bool]]:
        """What is seen after a picture that is copied."""
        begins = True
        for time, frame in self._frames(among):
            if time >= self._stop:
                return
            if time > latest:
                yield time, frame, begins
                begins, latest = False, time

    def _frames(self, among: range) -> Iterator[tuple[int, VideoFrame]]:
        for seconds, frame in self._film.frames(self._packets[number] for number in among):
            yield int(seconds * self._scale), frame


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
    try:
        parameters = avc.Parameters.of_record(record)
    except BadFile:
        return None
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


# --- The sound of a clip ------------------------------------------------------------------------


class _Sounds:
    """The sound of a clip, to the sample; silence where the source has none."""

    def __init__(self, film: Footage, source: AudioStream, start: Fraction, end: Fraction) -> None:
        rate = source.rate if source.rate in _SOUND_RATES else _SOUND_RATES[0]
        self._film = film
        self._layout = "mono" if source.codec_context.channels == 1 else "stereo"
        self._context = context = CodecContext.create("aac", "w")
        context.sample_rate, context.layout, context.format = rate, self._layout, "fltp"
        context.time_base, context.bit_rate = Fraction(1, rate), _SOUND_BIT_RATE
        # Else the encoder signs with its name.
        context.flags |= Flags.bitexact
        context.open()
        self._rate = rate
        self._start, self._stop = round(start * rate), round(end * rate)
        self._samples = Sounds(self._layout, rate, self._start, self._stop)
        self._made: Packets = []

    def track(self, packets: Packets) -> boxes.Coded:
        """The track, number 2 of the clip, out of what the source has. Raises BadFile."""
        for part in self._film.heard(packets, self._layout, self._rate):
            self._samples.add(round((part.time or 0) * self._rate), part)
            self._encode()
        # Where the source has no more sound there is silence.
        self._samples.fill(self._stop)
        self._encode(rest=True)
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
        trak = boxes.sound_trak(2, self._rate, self._context.channels, config)
        return boxes.Coded(trak, table, [bytes(packet) for packet in made])

    def _encode(self, *, rest: bool = False) -> None:
        for block in self._samples.blocks(_SOUND_BLOCK, rest=rest):
            self._made += self._context.encode(block)
