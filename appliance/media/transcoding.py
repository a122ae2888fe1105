"""A film from outside made into one like ours, in a process set apart (`appliance.media.decoder`).

It is read twice: once to see what there is (`survey`), once to make it anew (`remaking`).
"""

# PyAV's packets are generic for the type checker and not when they run.
from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction

import av
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from appliance.errors import BadFile, KitError
from appliance.media.footage import said, time_base
from appliance.media.kinds import FilmKind, kind_named, kind_of_file
from appliance.media.remaking import MOST_THREADS, Remade, Resampled
from appliance.media.spans import JUMP
from appliance.media.structure import MATROSKA, Headless, NotKnown, bytes_at, check_film
from appliance.media.survey import LARGEST, Part, Survey, packets, survey
from appliance.media.torn import is_torn, readable
from appliance.media.transport import HEAD, check_transport, packet_length
from appliance.media.wire import (
    TOLD,
    FilmNote,
    FilmRefusal,
    Kind,
    Source,
    Wire,
    coded,
    reason_of,
    refusal,
)

_MP4, _MATROSKA, _TRANSPORT = "mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm", "mpegts"
"""What a film may be read as: what it was looked at as before, and nothing else."""
DECODERS = (
    "h264,hevc,vp8,libvpx,vp9,libvpx-vp9,libdav1d,av1,mpeg4,"
    "aac,aac_latm,mp2,mp2float,mp3,mp3float,opus,libopus,vorbis,flac,ac3,eac3,alac,amrnb,amrwb,"
    "pcm_s16le,pcm_s16be,pcm_s24le,pcm_s24be,pcm_f32le,pcm_alaw,pcm_mulaw,pcm_bluray"
)
"""What phones, tablets, camcorders and video calls write. No playlist, no list of other files: what
would make the reader open something else is not among them."""
_MOST_TRACKS = 64
_SOME_BROKEN = 10
"""Packets that no decoder takes, in any film: a call over a bad line has some."""
_MOST_TOLD = 5
_ENDS_EARLY = Fraction(2)
"""Seconds that a picture may be shorter than its file says."""


def transcode(source: Source, size: int, wire: Wire, longest: Fraction) -> None:
    """Make the film in `source`, of `size` bytes, into one like ours of at most `longest` seconds,
    and send it over `wire`.

    Raises what `refusal` makes, MemoryError; av.FFmpegError, ValueError, ArithmeticError if broken.
    """
    torn = is_torn(source, size)
    if torn:
        source, size = readable(source, size)
    formats, coded_as = _looked_at(source, size, torn)
    with _opened(source, formats) as film:
        _check_kinds(film, coded_as)
        found = _looked_through(film, longest, torn)
        wire.send(Kind.TOLD, TOLD.pack(float(found.length)) + bytes([bool(film.streams.audio)]))
        for note in _notes(film, coded_as, found, torn):
            wire.send(Kind.NOTE, coded(note))
    with _opened(source, formats) as film:
        _made_anew(film, found, wire)


def _looked_at(source: Source, size: int, torn: bool) -> tuple[str, Sequence[str]]:
    """What a film is to be read as, and how its tracks say that they are coded, before anything
    decodes it. Raises what `refusal` makes."""
    head = bytes_at(source, 0, HEAD)
    try:
        if packet_length(head):
            check_transport(source, size)
            return _TRANSPORT, []
        coded_as = check_film(source, size)
    except NotKnown as error:
        kind = kind_of_file(head)
        if kind is not None:
            raise refusal(FilmRefusal.UNKNOWN_FILE, kind=kind) from error
        cut_short = torn and isinstance(error, Headless)
        raise refusal(FilmRefusal.CUT_SHORT if cut_short else FilmRefusal.NOT_A_FILM) from error
    except BadFile as error:
        raise refusal(FilmRefusal.BROKEN) from error
    return _MATROSKA if head.startswith(MATROSKA) else _MP4, coded_as


@contextmanager
def _opened(source: Source, formats: str) -> Iterator[InputContainer]:
    """The film, read as one of these formats."""
    source.seek(0)
    try:
        film = av.open(
            source,
            "r",
            buffer_size=1 << 18,
            metadata_errors="replace",
            options={
                "format_whitelist": formats,
                "codec_whitelist": DECODERS,
                "max_streams": str(_MOST_TRACKS),
            },
        )
    except MemoryError:
        raise  # One of libav's errors too.
    except (av.error.FFmpegError, ValueError, OverflowError) as error:
        raise refusal(FilmRefusal.NOT_A_FILM) from error
    with film:
        yield film


def _looked_through(film: InputContainer, longest: Fraction, torn: bool) -> Survey:
    """What there is in it; `torn`: its end is missing. Raises what `refusal` makes."""
    picture, sounds = _tracks(film)
    stated = _length(film, picture)
    try:
        found = survey(film, picture, sounds)
    except KitError as error:
        if torn and reason_of(error) in (FilmRefusal.NO_PICTURE, FilmRefusal.BROKEN):
            # It has a track of pictures, and was cut off before the first or in it.
            raise refusal(FilmRefusal.CUT_SHORT) from error
        raise
    if found.length > longest:
        raise refusal(FilmRefusal.TOO_LONG)
    # Some count the length from zero, although their first picture comes later.
    there = max(found.length, found.parts[0].begin + found.length)
    if there < stated - _ENDS_EARLY and there < stated * Fraction(98, 100):
        raise refusal(FilmRefusal.TOO_LONG if stated > longest else FilmRefusal.CUT_SHORT)
    return found


def _notes(
    film: InputContainer, coded_as: Sequence[str], found: Survey, torn: bool
) -> Iterator[KitError]:
    """What a person should know of a film that came in."""
    pictures, sounds = _known(film)
    if len(pictures) > 1:
        yield refusal(FilmNote.PICTURE_LEFT)
    left = (_kind_of(track, coded_as) for track in film.streams.audio if track not in sounds)
    for kind in dict.fromkeys(left):
        yield refusal(FilmNote.SOUND_LEFT, kind=kind)
    if len(sounds) > 1:
        yield refusal(FilmNote.SOUNDS_MIXED)
    for part in found.parts[1:_MOST_TOLD]:
        yield refusal(FilmNote.SEVERAL, at=said(part.at))
    if torn:
        yield refusal(FilmNote.END_MISSING, end=said(found.length))


def _made_anew(film: InputContainer, found: Survey, wire: Wire) -> None:
    """Send what is made of it. Raises what `refusal` makes."""
    picture, sounds = _tracks(film)
    picture.codec_context.thread_count = min(os.cpu_count() or 1, MOST_THREADS)
    picture.codec_context.thread_type = "AUTO"
    layout = _layout(sounds)
    made = Remade(wire, found, picture, len(sounds), layout)
    every: list[VideoStream | AudioStream] = [picture, *sounds]
    lines = {track.index: _Line(track, found.parts) for track in every}
    heard = {track.index: (number, Resampled(layout)) for number, track in enumerate(sounds)}
    taken = broken = 0
    for packet in packets(film, picture, sounds):
        # An empty one has a stream, and no index of its own.
        index = packet.stream.index
        line = lines[index]
        taken += 1
        try:
            # A packet without anything in it empties the decoder at the end.
            decoded: Sequence[VideoFrame | AudioFrame] = line.track.codec_context.decode(packet)
        except MemoryError:
            raise  # One of libav's errors too.
        except av.error.EOFError:
            continue
        except av.error.FFmpegError:
            # Each decoder has numbers of its own for what it cannot read.
            broken += 1
            continue
        for frame in decoded:
            at = line.when(frame)
            if at is None:
                continue
            if isinstance(frame, VideoFrame):
                made.show(frame, at)
            else:
                number, resampled = heard[index]
                for piece in resampled.pieces(frame, at):
                    made.hear(number, piece)
    if broken > max(_SOME_BROKEN, taken // 100):
        raise refusal(FilmRefusal.BROKEN)
    made.finish()


class _Line:
    """The times of one track, as they are in the film that is made."""

    def __init__(self, track: VideoStream | AudioStream, parts: Sequence[Part]) -> None:
        self.track = track
        self._base, self._parts = time_base(track), parts
        self._part, self._last = 0, Fraction(0)

    def when(self, frame: VideoFrame | AudioFrame) -> Fraction | None:
        """Second at which a frame belongs; None of one that does not say, or before the film."""
        if frame.pts is None:
            return None
        seconds = frame.pts * self._base
        if seconds < self._last - JUMP and self._part + 1 < len(self._parts):
            self._part += 1
        self._last = seconds
        at = self._parts[self._part].when(seconds)
        return at if at >= 0 else None


def _check_kinds(film: InputContainer, coded_as: Sequence[str]) -> None:
    """Raises what `refusal` makes if no picture can be read, or there is sound and none can."""
    pictures, sounds = _known(film)
    shown = [track for track in film.streams.video if not _is_cover(track)]
    if not shown:
        raise refusal(FilmRefusal.NO_PICTURE)
    if not pictures:
        raise refusal(FilmRefusal.UNKNOWN_KIND, kind=_kind_of(shown[0], coded_as))
    if film.streams.audio and not sounds:
        kind = _kind_of(film.streams.audio[0], coded_as)
        raise refusal(FilmRefusal.UNKNOWN_SOUND, kind=kind)


def _kind_of(track: VideoStream | AudioStream, coded_as: Sequence[str]) -> FilmKind:
    """What a track is that no decoder of ours reads."""
    known = track.codec_context.name if track.codec_context else ""
    said = coded_as[track.index] if track.index < len(coded_as) else ""
    return kind_named(known, said, sound=isinstance(track, AudioStream))


def _known(film: InputContainer) -> tuple[Sequence[VideoStream], Sequence[AudioStream]]:
    """Its pictures and the tracks of its sound that can be read."""
    pictures = [track for track in film.streams.video if not _is_cover(track)]
    # What is of another kind beside one that is known says the same: a telephone's sound in space.
    return [*filter(_is_known, pictures)], [*filter(_is_known, film.streams.audio)]


def _tracks(film: InputContainer) -> tuple[VideoStream, Sequence[AudioStream]]:
    """The picture and the sounds that the film is made of. Raises what `refusal` makes."""
    (picture, *_others), sounds = _known(film)
    if picture.width * picture.height > LARGEST:
        raise refusal(FilmRefusal.TOO_MANY_POINTS)
    picture.codec_context.options = {"max_pixels": str(LARGEST)}
    return picture, sounds


def _is_cover(track: VideoStream) -> bool:
    """Whether it is a picture that stands for the film, not the film."""
    return bool(track.disposition & av.stream.Disposition.attached_pic)


def _is_known(track: VideoStream | AudioStream) -> bool:
    """Whether its decoder is one of those that are let at a film."""
    return bool(track.codec_context) and track.codec_context.name in DECODERS.split(",")


def _length(film: InputContainer, picture: VideoStream) -> Fraction:
    """Seconds that the film says it lasts, from its own beginning on; 0 if it does not say, as a
    transport stream never does: what libav has for it then is a guess."""
    if film.format.name == _TRANSPORT:
        return Fraction(0)
    if film.duration:
        return Fraction(film.duration, av.time_base)
    return Fraction((picture.duration or 0) * time_base(picture))


def _layout(sounds: Sequence[AudioStream]) -> str:
    return "mono" if all(sound.codec_context.channels == 1 for sound in sounds) else "stereo"
