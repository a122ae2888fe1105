"""Clips and stills, exact to the frame, with nothing in them from outside the marks.

A copied stream would keep up to a second from before the mark behind an edit list. So every frame
of a clip is decoded and encoded again, and its sound cut to the sample; what goes into the file is
what lies between the marks and nothing else: no hidden frame, no date, no device, no name.

Sources are anything that PyAV opens and that can be seeked: a plain file, or a `JoinedFile` that is
unsealed as it is read. Only what is needed is read: from the key frame before the mark.
"""

# PyAV's packets are generic for the type checker and not when they run.
from __future__ import annotations

import contextlib
import io
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Protocol, TypeVar

import av
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream
from av.bitstream import BitStreamFilterContext
from av.codec.context import CodecContext, Flags
from av.container import InputContainer, OutputContainer
from av.packet import Packet
from av.video.frame import PictureType, VideoFrame
from av.video.stream import VideoStream

from appliance import boxes
from appliance.errors import BadFile, BadInput, NotPossible

_PICTURE = {"preset": "veryfast", "crf": "17", "bf": "0", "g": "60"}
_COARSEST = 10_000
"""Ticks a second below which the muxer would choose others."""
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

_T = TypeVar("_T")
Seconds = Fraction | float
Frame = VideoFrame | AudioFrame


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
    appear, and when the last one goes."""

    frames: int
    first: Fraction
    last: Fraction
    end: Fraction
    sound: bool


def cut(source: Source, start: Seconds, end: Seconds, out: Out) -> Cut:
    """Write the frames that appear in [start, end) seconds, and the sound that goes with them, to
    `out` as an MP4 that any phone plays. `out` gets it whole at the end, or nothing.

    The first frame is shown at 0 and the sound starts with it. The clip is held in memory: about
    a megabyte a second. Raises BadInput for marks that are not in the film, not in order or within
    one frame, BadFile if the source is not a film; what reading the source raises passes through.
    """
    with _opened(source) as film:
        picture = _picture_of(film)
        start, end = _on_ticks(start, picture), _on_ticks(end, picture)
        _check_marks(film, picture, start, end)
        sound = film.streams.audio[0] if film.streams.audio else None
        clip = io.BytesIO()
        # Without `bitexact` the muxer and the encoders sign with their names and versions.
        options = {"fflags": "+bitexact"}
        with av.open(clip, "w", format="mp4", options=options) as made:
            pictures = _Pictures(made, picture, start, end)
            sounds = _Sounds(made, sound, start, end) if sound else None
            for frame in _decoded(film, picture, sound, start):
                if isinstance(frame, VideoFrame):
                    made.mux(pictures.take(frame))
                    if sounds and pictures.first is not None:
                        made.mux(sounds.begin(pictures.first))
                elif sounds:
                    made.mux(sounds.take(frame))
                if pictures.done and (sounds is None or sounds.done):
                    break
            made.mux(pictures.finish())
            if pictures.first is None:
                raise BadInput(
                    f"There is no frame between {_said(start)} and {_said(end)}.",
                    "Set the marks further apart.",
                )
            if sounds:
                made.mux(sounds.begin(pictures.first))
                made.mux(sounds.finish())
        if pictures.count == 1 and end < pictures.end:
            raise BadInput("Both marks are within one frame.", "Set the marks further apart.")
    for part in boxes.moov_first(clip.getvalue()):
        out.write(part)
    return Cut(pictures.count, pictures.first, pictures.last, pictures.end, sounds is not None)


def still(source: Source, at: Seconds, out: Out) -> Fraction:
    """Write the frame that is seen at `at` seconds to `out` as a JPEG, and say when it appeared.

    Raises BadInput if `at` is not in the film, BadFile if the source is not a film.
    """
    with _opened(source) as film:
        picture = _picture_of(film)
        at = _on_ticks(at, picture)
        _check_marks(film, picture, at, None)
        seen = None
        for frame in _decoded(film, picture, None, at):
            if not isinstance(frame, VideoFrame) or _time(frame) > at:
                break
            seen = frame
        if seen is None:
            raise BadInput(f"There is no picture at {_said(at)}.")
        moment, picture_file = _time(seen), _jpeg(seen)
    out.write(picture_file)
    return moment


class _Pictures:
    """The frames of a clip, encoded again, each as long as it was."""

    def __init__(
        self, made: OutputContainer, source: VideoStream, start: Fraction, end: Fraction
    ) -> None:
        self._start = start
        self._end = end
        self._rate = source.average_rate or Fraction(25)
        self._film_end = _picture_end(source) or Fraction(0)
        self._stream = made.add_stream("libx264", rate=self._rate, options=_PICTURE)
        context, like = self._stream.codec_context, source.codec_context
        # Phones want 4:2:0, and that wants even sides.
        self._stream.width, self._stream.height = like.width & ~1, like.height & ~1
        self._stream.pix_fmt = "yuv420p"
        ticks = _time_base(source).denominator
        while ticks < _COARSEST:
            ticks *= 2
        self._ticks = Fraction(1, ticks)
        self._stream.time_base = context.time_base = self._ticks
        if like.sample_aspect_ratio:
            context.sample_aspect_ratio = like.sample_aspect_ratio
        context.color_range, context.colorspace = like.color_range, like.colorspace
        context.color_primaries, context.color_trc = like.color_primaries, like.color_trc
        # The encoder writes its name and settings into a message (SEI) before the first picture.
        self._unsigned = BitStreamFilterContext("filter_units=remove_types=6", self._stream)
        self._waiting: VideoFrame | None = None
        self._durations: list[int] = []
        self._packets = 0
        self.first: Fraction | None = None
        self.last = Fraction(0)
        self.end = Fraction(0)
        self.count = 0
        self.done = False

    def take(self, frame: VideoFrame) -> list[Packet[Any]]:
        """Take in the next frame of the source; only those between the marks go any further."""
        time = _time(frame)
        if self.done or time < self._start or (self._waiting and time <= self.last):
            return []
        packets = self._encode_waiting(time)
        if time >= self._end:
            self.done = True
            return packets
        if self.first is None:
            self.first = time
        self.last = time
        self.count += 1
        self._waiting = frame
        return packets

    def finish(self) -> list[Packet[Any]]:
        """The rest, once; also where the film ended before the mark."""
        packets = []
        if self._waiting:
            packets = self._encode_waiting(max(self._film_end, self.last + 1 / self._rate))
        return packets + self._packed(self._stream.encode(None)) if self.count else []

    def _encode_waiting(self, until: Fraction) -> list[Packet[Any]]:
        if self._waiting is None or self.first is None:
            return []
        frame, self._waiting = self._waiting, None
        self.end = until
        self._durations.append(round((until - self.last) / self._ticks))
        shown = frame.reformat(self._stream.width, self._stream.height, "yuv420p")
        shown.pts = round((self.last - self.first) / self._ticks)
        shown.time_base = self._ticks
        # Else the encoder would make key frames where the source had them.
        shown.pict_type = PictureType.NONE
        return self._packed(self._stream.encode(shown))

    def _packed(self, packets: list[Packet[Any]]) -> list[Packet[Any]]:
        for packet in packets:
            packet.duration = self._durations.pop(0)
        return [clean for packet in packets for clean in self._unsigned.filter(packet)]


class _Sounds:
    """The sound of a clip, to the sample; silence where the source has none."""

    def __init__(
        self, made: OutputContainer, source: AudioStream, start: Fraction, end: Fraction
    ) -> None:
        rate = source.rate if source.rate in _SOUND_RATES else _SOUND_RATES[0]
        self._layout = "mono" if source.codec_context.channels == 1 else "stereo"
        self._stream = made.add_stream("aac", rate=rate, layout=self._layout)
        self._stream.bit_rate = _SOUND_BIT_RATE
        self._stream.codec_context.flags |= Flags.bitexact
        self._resampler = AudioResampler(format="fltp", layout=self._layout, rate=rate)
        self._rate = rate
        self._start = start
        self._stop = round(end * rate)
        self._early: list[AudioFrame] = []
        self._channels = [bytearray() for _ in range(self._stream.codec_context.channels)]
        self._begun = False
        self._next = 0
        """The sample that is to follow, counted from the start of the film."""
        self._heard: int | None = None
        """The sample behind the last one that the source gave."""
        self._written = 0
        self.done = False

    def begin(self, at: Fraction) -> list[Packet[Any]]:
        """From now on it is known where the clip begins. Safe to call again."""
        if self._begun:
            return []
        self._begun, self._next = True, round(at * self._rate)
        early, self._early = self._early, []
        return [packet for frame in early for packet in self.take(frame)]

    def take(self, frame: AudioFrame) -> list[Packet[Any]]:
        """Take in what the decoder gives next; only what is between the marks goes any further."""
        if not self._begun:
            if _time(frame) >= self._start - 1:
                self._early.append(frame)
            return []
        for part in self._resampler.resample(frame):
            self._add(round(_time(part) * self._rate), part)
        return self._encoded(_SOUND_BLOCK)

    def finish(self) -> list[Packet[Any]]:
        """The rest, once. Where the source had no more sound there is silence."""
        for part in self._resampler.resample(None):
            self._add(round(_time(part) * self._rate), part)
        self._fill(self._stop)
        return self._encoded(1) + self._stream.encode(None)

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
        self.done = self._heard >= self._stop

    def _fill(self, until: int) -> None:
        """Silence up to the source's sample number `until`."""
        missing = max(until - self._next, 0)
        for channel in self._channels:
            channel += bytes(missing * _FLOAT)
        self._next += missing

    def _encoded(self, at_least: int) -> list[Packet[Any]]:
        packets = []
        while (samples := min(len(self._channels[0]) // _FLOAT, _SOUND_BLOCK)) >= at_least:
            frame = AudioFrame("fltp", self._layout, samples)
            for channel, plane in zip(self._channels, frame.planes, strict=True):
                plane.update(bytes(channel[: samples * _FLOAT]))
                del channel[: samples * _FLOAT]
            frame.sample_rate = self._rate
            frame.pts, frame.time_base = self._written, Fraction(1, self._rate)
            self._written += samples
            packets += self._stream.encode(frame)
        return packets


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
    past = end is not None and end > length + 1 / (picture.average_rate or Fraction(25))
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


def _decoded(
    film: InputContainer, picture: VideoStream, sound: AudioStream | None, start: Fraction
) -> Iterator[Frame]:
    """The frames of both tracks from before `start` on, as they come; the picture from at or before
    `start`, the sound from early enough to be right. Raises BadFile."""
    before = _BEFORE_SOUND if sound else Fraction(0)
    tracks: list[VideoStream | AudioStream] = [picture, sound] if sound else [picture]
    for step in _STEPS_BACK:
        at = start - before - step
        if at <= 0:
            break
        frames = _decoded_from(film, int(at / _time_base(picture)), tracks)
        head = []
        for frame in frames:
            head.append(frame)
            if isinstance(frame, VideoFrame):
                break
        if head and isinstance(head[-1], VideoFrame) and _time(head[-1]) <= start:
            return itertools.chain(head, frames)
    return _decoded_from(film, 0, tracks)


def _decoded_from(
    film: InputContainer, ticks: int, tracks: list[VideoStream | AudioStream]
) -> Iterator[Frame]:
    """What the tracks have from the key frame of the first of them before `ticks` of it on."""
    with _reading():
        film.seek(ticks, stream=tracks[0])
        for frame in film.decode(*tracks):
            if isinstance(frame, VideoFrame | AudioFrame):
                yield frame


def _time_base(thing: VideoStream | VideoFrame | AudioFrame) -> Fraction:
    if thing.time_base is None:
        raise BadFile("This film has a track without a clock.")
    return thing.time_base


def _time(frame: VideoFrame | AudioFrame) -> Fraction:
    """Seconds at which a frame appears, exactly."""
    if frame.pts is None:
        raise BadFile("This film has frames without times.")
    return frame.pts * _time_base(frame)


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
