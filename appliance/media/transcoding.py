"""A film from outside made into one like ours, in a process set apart (`appliance.media.decoder`).

What it makes is as `appliance.film.fragments` has it: H.264 without B-frames, a key frame each
second, upright and of square pixels, each frame at its own time; AAC at 48 kHz, silence where there
is none.
"""

# PyAV's packets are generic for the type checker and not when they run.
from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any

import av
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.packet import Packet
from av.video.frame import PictureType, VideoFrame
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream

from appliance.errors import BadFile
from appliance.film.fragments import MUXER, MUXER_OPTIONS
from appliance.media.footage import Sounds, Upright
from appliance.media.structure import NotKnown, check_film
from appliance.media.wire import TOLD, FilmPipe, FilmRefusal, Kind, Source, Wire, refusal

FORMATS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm"
DECODERS = (
    "h264,hevc,vp8,libvpx,vp9,libvpx-vp9,libdav1d,av1,mpeg4,"
    "aac,aac_latm,mp3,mp3float,opus,libopus,vorbis,flac,ac3,eac3,alac,amrnb,amrwb,"
    "pcm_s16le,pcm_s16be,pcm_s24le,pcm_s24be,pcm_f32le,pcm_alaw,pcm_mulaw"
)
"""What phones, tablets and video calls write. No playlist, no list of other files: what would make
the reader open something else is not among them."""
LONG_SIDE, SHORT_SIDE = 1920, 1080
LARGEST = 36 << 20
"""Pixels of a picture: 8K is 33 million."""
TICKS = 90_000

_RATE = 48_000
_BLOCK = 1024
"""Samples in one packet of AAC, and those that its encoder puts in front."""
_SOUND_BIT_RATE = 128_000
_CLOSEST = Fraction(1, 65)
"""Seconds between two frames: of slow motion at 240 a second every fourth is taken."""
_KEY_EACH = 1
"""Seconds."""
_ENCODER = {
    "preset": "veryfast",
    "crf": "20",
    "maxrate": "8M",
    "bufsize": "16M",
    "bf": "0",
    "g": "600",
    "forced-idr": "1",
    "sc_threshold": "0",
}
_MOST_THREADS = 4
_SOME_BROKEN = 10
"""Packets that no decoder takes, in any film: a call over a bad line has some."""
_ENDS_EARLY = Fraction(2)
"""Seconds that a picture may be shorter than its file says."""


def transcode(source: Source, size: int, wire: Wire, longest: Fraction) -> None:
    """Make the film in `source`, of `size` bytes, into one like ours, and send it over `wire`.

    Raises what `refusal` makes, MemoryError; av.FFmpegError, ValueError, ArithmeticError if broken.
    """
    try:
        check_film(source, size)
    except NotKnown as error:
        raise refusal(FilmRefusal.NOT_A_FILM) from error
    except BadFile as error:
        raise refusal(FilmRefusal.BROKEN) from error
    source.seek(0)
    try:
        container = av.open(
            source,
            "r",
            buffer_size=1 << 18,
            metadata_errors="replace",
            options={"format_whitelist": FORMATS, "codec_whitelist": DECODERS},
        )
    except MemoryError:
        raise  # One of libav's errors too.
    except (av.error.FFmpegError, ValueError, OverflowError) as error:
        raise refusal(FilmRefusal.NOT_A_FILM) from error
    with container:
        _Film(container, wire, longest).make()


class _Film:
    def __init__(self, source: InputContainer, wire: Wire, longest: Fraction) -> None:
        pictures = [track for track in source.streams.video if not _is_cover(track)]
        if not pictures:
            raise refusal(FilmRefusal.NO_PICTURE)
        known = list(filter(_is_known, pictures))
        sounds = list(filter(_is_known, source.streams.audio))
        if not known or len(sounds) < len(source.streams.audio):
            raise refusal(FilmRefusal.UNKNOWN_KIND)
        self._source, self._wire, self._longest = source, wire, longest
        self._picture: VideoStream = known[0]
        self._sound: AudioStream | None = sounds[0] if sounds else None
        if self._picture.width * self._picture.height > LARGEST:
            raise refusal(FilmRefusal.TOO_MANY_POINTS)
        self._said = _length(source, self._picture)
        if self._said > longest:
            raise refusal(FilmRefusal.TOO_LONG)
        wire.send(Kind.TOLD, TOLD.pack(float(self._said)) + bytes([bool(self._sound)]))
        self._broken = self._packets = 0
        self._begin: Fraction | None = None
        """When the first picture appears, in seconds of the original."""
        self._out = _Out(wire, self._picture, self._sound)

    def make(self) -> None:
        tracks: list[VideoStream | AudioStream] = [self._picture]
        self._picture.codec_context.thread_count = min(os.cpu_count() or 1, _MOST_THREADS)
        self._picture.codec_context.thread_type = "AUTO"
        self._picture.codec_context.options = {"max_pixels": str(LARGEST)}
        heard = None
        if self._sound:
            tracks.append(self._sound)
            heard = _Heard(self._sound)
        early: list[AudioFrame] = []
        """Sound that came before it is known when the picture begins."""
        for frame in self._frames(tracks):
            if isinstance(frame, VideoFrame):
                self._show(frame)
            elif heard:
                early.append(frame)
            if self._begin is not None and heard:
                for piece in early:
                    self._out.hear(heard, piece, self._begin, self._longest)
                early.clear()
            elif len(early) > 20 * _RATE // _BLOCK:
                early.pop(0)
        if self._begin is None:
            raise refusal(FilmRefusal.NO_PICTURE)
        if self._broken > max(_SOME_BROKEN, self._packets // 100):
            raise refusal(FilmRefusal.BROKEN)
        end = self._out.finish()
        if self._said and end < self._said - _ENDS_EARLY and end < self._said * Fraction(98, 100):
            raise refusal(FilmRefusal.CUT_SHORT)

    def _show(self, frame: VideoFrame) -> None:
        if frame.pts is None or frame.time_base is None:
            return
        if frame.width * frame.height > LARGEST:
            raise refusal(FilmRefusal.TOO_MANY_POINTS)
        time = frame.pts * Fraction(frame.time_base)
        if self._begin is None:
            self._begin = time
        if time - self._begin > self._longest:
            raise refusal(FilmRefusal.TOO_LONG)
        self._out.show(frame, time - self._begin)

    def _frames(
        self, tracks: Sequence[VideoStream | AudioStream]
    ) -> Iterator[VideoFrame | AudioFrame]:
        """What the decoders make of all packets; a few that are broken are left out."""
        for packet in self._all_packets(tracks):
            self._packets += 1
            stream = self._picture if packet.stream is self._picture else self._sound
            assert stream is not None
            decoded: Sequence[VideoFrame | AudioFrame] = ()
            try:
                # A packet without anything in it empties the decoder at the end.
                decoded = stream.codec_context.decode(packet)
            except av.error.InvalidDataError:
                self._broken += 1
            except av.error.EOFError:
                pass
            for frame in decoded:
                frame.time_base = stream.time_base
                yield frame

    def _all_packets(self, tracks: Sequence[VideoStream | AudioStream]) -> Iterator[Packet[Any]]:
        packets = self._source.demux(*tracks)
        while True:
            try:
                packet = next(packets)
            except StopIteration:
                return
            except av.error.InvalidDataError:
                # The container is torn from here on; how much that costs is judged by its length.
                self._broken += 1
                for track in tracks:
                    empty: Packet[Any] = Packet()
                    empty.stream = track
                    yield empty
                return
            yield packet


class _Heard:
    """The sound of the original, at our rate, in one line."""

    def __init__(self, source: AudioStream) -> None:
        self._layout = _layout(source)
        self._form: tuple[str, str, int] | None = None
        self._resampler: AudioResampler | None = None

    def pieces(self, frame: AudioFrame) -> Iterator[AudioFrame]:
        # A source may change its form midway; a resampler may not.
        form = (frame.format.name, frame.layout.name, frame.sample_rate)
        if form != self._form:
            self._form, self._resampler = form, AudioResampler("fltp", self._layout, _RATE)
        assert self._resampler is not None
        for piece in self._resampler.resample(frame):
            if piece is not None and piece.time is not None:
                yield piece


class _Out:
    """The film that is made, in the form of the recorder's own."""

    def __init__(self, wire: Wire, like: VideoStream, sound: AudioStream | None) -> None:
        self._like = like
        options = {
            **MUXER_OPTIONS,
            "video_track_timescale": str(TICKS),
            "flush_packets": "1",
            "max_interleave_delta": "1000000",
        }
        self._file = FilmPipe(wire)
        self._container = av.open(self._file, "w", format=MUXER, options=options)
        self._picture: VideoStream | None = None
        self._heard: AudioStream | None = None
        self._sounds: Sounds | None = None
        if sound:
            self._layout = _layout(sound)
            self._sounds = Sounds(self._layout, _RATE, 0)
        self._upright: Upright | None = None
        self._shaped = VideoReformatter()
        self._size = (0, 0)
        """Of a picture as it lies, before it is turned upright."""
        self._last = -_CLOSEST
        self._key = Fraction(-_KEY_EACH)
        self._held: Packet[Any] | None = None
        """The last picture: how long it is shown is known when the next one comes."""
        self._step = TICKS // 25

    def show(self, frame: VideoFrame, time: Fraction) -> None:
        """One picture that appears at `time` seconds."""
        if time - self._last < _CLOSEST:
            return
        if self._picture is None or self._upright is None:
            self._upright = Upright(frame)
            self._picture = self._opened(frame, self._upright.is_sideways)
        picture = self._upright.turned(self._shaped.reformat(frame, *self._size, "yuv420p"))
        picture.pts, picture.time_base = round(time * TICKS), Fraction(1, TICKS)
        picture.pict_type = PictureType.NONE
        if time - self._key >= _KEY_EACH:
            self._key, picture.pict_type = time, PictureType.I
        self._last = time
        self._keep(self._picture.encode(picture))

    def hear(self, heard: _Heard, frame: AudioFrame, begin: Fraction, longest: Fraction) -> None:
        """Some sound; `begin` is when the picture began."""
        assert self._sounds is not None
        for piece in heard.pieces(frame):
            at = round((Fraction(piece.time or 0) - begin) * _RATE)
            # What says that it belongs hours later is no sound of this film.
            if at < longest * _RATE:
                self._sounds.add(at, piece)
        self._say()

    def finish(self) -> Fraction:
        """Close the film; when its last picture goes."""
        assert self._picture is not None
        self._keep(self._picture.encode(None))
        end = self._last
        if self._held is not None:
            self._held.duration = self._step
            end += Fraction(self._step, TICKS)
            self._container.mux(self._held)
        if self._sounds is not None and self._heard is not None:
            self._sounds.fill(round(end * _RATE))
            self._say(rest=True)
            self._container.mux(self._heard.encode(None))
        self._container.close()
        self._file.flush()
        return end

    def _opened(self, frame: VideoFrame, sideways: bool) -> VideoStream:
        """The tracks of the film, as its first picture has it."""
        like = self._like.codec_context
        aspect = Fraction(like.sample_aspect_ratio or 1)
        if not Fraction(1, 4) <= aspect <= 4:
            aspect = Fraction(1)  # Nonsense is not followed.
        across, down = frame.width * aspect, Fraction(frame.height)
        shrunk = min(Fraction(1), LONG_SIDE / max(across, down), SHORT_SIDE / min(across, down))
        self._size = (_even(across * shrunk), _even(down * shrunk))
        picture = self._container.add_stream("libx264", rate=Fraction(30), options=_ENCODER)
        picture.width, picture.height = self._size[::-1] if sideways else self._size
        picture.pix_fmt = "yuv420p"
        picture.time_base = picture.codec_context.time_base = Fraction(1, TICKS)
        context = picture.codec_context
        context.thread_count = min(os.cpu_count() or 1, _MOST_THREADS)
        context.colorspace = like.colorspace
        context.color_primaries, context.color_trc = like.color_primaries, like.color_trc
        if self._sounds is not None:
            sound = self._container.add_stream("aac", rate=_RATE)
            sound.layout, sound.format, sound.bit_rate = self._layout, "fltp", _SOUND_BIT_RATE
            self._heard = sound
        return picture

    def _keep(self, packets: Sequence[Packet[Any]]) -> None:
        for packet in packets:
            if self._held is not None:
                self._step = (packet.pts or 0) - (self._held.pts or 0)
                self._held.duration = self._step
                self._container.mux(self._held)
            packet.dts = packet.pts
            self._held = packet

    def _say(self, *, rest: bool = False) -> None:
        if self._heard is None or self._sounds is None:
            return
        for block in self._sounds.blocks(_BLOCK, rest=rest):
            # The encoder puts a packet in front of what it is given, before zero, where no edit
            # list could hide it: the sound of the first 21 ms is left out, the rest is in time.
            if (block.pts or 0) >= _BLOCK:
                self._container.mux(self._heard.encode(block))


def _is_cover(track: VideoStream) -> bool:
    """Whether it is a picture that stands for the film, not the film."""
    return bool(track.disposition & av.stream.Disposition.attached_pic)


def _is_known(track: VideoStream | AudioStream) -> bool:
    """Whether its decoder is one of those that are let at a film."""
    return bool(track.codec_context) and track.codec_context.name in DECODERS.split(",")


def _length(source: InputContainer, picture: VideoStream) -> Fraction:
    """Seconds that the film says it lasts, 0 if it does not say."""
    if picture.duration and picture.time_base:
        return Fraction(picture.duration * picture.time_base)
    return Fraction(source.duration or 0, av.time_base)


def _layout(sound: AudioStream) -> str:
    return "mono" if sound.codec_context.channels == 1 else "stereo"


def _even(side: Fraction) -> int:
    return max(2, 2 * round(side / 2))
