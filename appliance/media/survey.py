"""What there is in a film of others, found by going through it once before it is made into ours.

A film is everything from the first to the last of picture and sound, wherever one of them begins
late, stands or ends early. Only its packets say so: what a container states may be missing, wrong,
or of one track. Of the pictures key frames are decoded, for their size: a few a second, and each
that is the last for a while.
"""

# PyAV's packets are generic for the type checker and not when they run.
from __future__ import annotations

import contextlib
import itertools
from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, TypeAlias

import av
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from appliance.media.footage import demuxed, time_base
from appliance.media.spans import JUMP
from appliance.media.wire import FilmRefusal, refusal

Track: TypeAlias = "VideoStream | AudioStream"

_MOST_PARTS = 100
_LEAD = Fraction(1, 25)
"""Seconds of sound before the first picture that are left out: an encoder's own beginning."""
LARGEST = 36 << 20
"""Pixels of a picture: 8K is 33 million."""
_LOOK_EACH = Fraction(1, 4)
"""Seconds between two key frames that are decoded."""
_SOME_STEP = Fraction(1, 25)


@dataclass(frozen=True)
class Part:
    """One recording of those that a file has, usually its only one. Seconds."""

    begin: Fraction
    """In the times of the file."""
    at: Fraction
    """In the film that is made of it."""
    end: Fraction
    """In the film that is made of it."""

    def when(self, seconds: Fraction) -> Fraction:
        """What the file calls `seconds`, in the film that is made."""
        return self.at + seconds - self.begin


@dataclass(frozen=True)
class Survey:
    """What was found."""

    parts: tuple[Part, ...]
    first: VideoFrame
    """The first picture that can be decoded, as it came from the decoder."""
    size: tuple[int, int]
    """Of the largest picture; of two that are as large, of the one that is seen for longer."""
    pictures: array[int]
    """When each picture appears in the film that is made, in thousandths of a second, in order."""

    @property
    def length(self) -> Fraction:
        return self.parts[-1].end


@dataclass
class _Span:
    """Of one track in one part: seconds in the times of the file."""

    begin: Fraction
    end: Fraction


@dataclass
class _Line:
    """What is known of a track so far."""

    base: Fraction
    heard: bool
    spans: list[_Span] = field(default_factory=list)
    last: int | None = None
    """When the last packet is decoded, in ticks."""

    def take(self, packet: Packet[Any]) -> int | None:
        """Note a packet; the number of its part, None if it says no time."""
        ticks = packet.pts if packet.pts is not None else packet.dts
        if ticks is None:
            return None
        order = packet.dts if packet.dts is not None else ticks
        seconds = ticks * self.base
        if self.last is None or order < self.last - JUMP / self.base:
            self.spans.append(_Span(seconds, seconds))
        self.last = order
        span = self.spans[-1]
        end = seconds + (packet.duration or 0) * self.base if self.heard else seconds
        span.begin, span.end = min(span.begin, seconds), max(span.end, end)
        return len(self.spans) - 1


class _Shown:
    """The pictures of one part."""

    def __init__(self) -> None:
        self.ticks = array("q")
        self.lasts = 0
        """Of the last one, in ticks; 0 if it does not say."""

    def take(self, packet: Packet[Any]) -> None:
        if packet.pts is not None:
            if not self.ticks or packet.pts > max(self.ticks[-32:]):
                self.lasts = packet.duration or 0
            self.ticks.append(packet.pts)


class _Looks:
    """Decodes a key frame now and then, and those after which none comes for a while: a call that
    grows may send two at once, and the picture stays as the second is."""

    def __init__(self, picture: VideoStream) -> None:
        self._context = picture.codec_context
        self._each = _LOOK_EACH / time_base(picture)
        self._looked: int | None = None
        self._left: tuple[int, Packet[Any]] | None = None
        """The last key frame that was left out, and when it comes."""
        self._now: tuple[int, tuple[int, int]] | None = None
        """The size that was seen last, and since when."""
        self._last = 0
        self.sizes: Counter[tuple[int, int]] = Counter()
        """For how many ticks each is seen."""
        self.first: VideoFrame | None = None

    def take(self, packet: Packet[Any] | None) -> None:
        """Look at a packet of the picture; None: that was all."""
        if packet is None:
            self._look_again()
            self._look(None, self._last)
            self._seen(self._last, None)
            return
        at = packet.dts if packet.dts is not None else packet.pts
        if at is None:
            return
        self._last = at
        if not packet.is_keyframe:
            return
        if self._left is not None and at - self._left[0] >= self._each:
            self._look_again()
        if self._looked is not None and 0 <= at - self._looked < self._each:
            self._left = at, packet
            return
        self._left = None
        self._look(packet, at)

    def _look_again(self) -> None:
        """At the one that was left out."""
        if self._left is not None:
            at, packet = self._left
            self._left = None
            self._look(packet, at)

    def _look(self, packet: Packet[Any] | None, at: int) -> None:
        self._looked = at
        # One that is broken says nothing of the others.
        with contextlib.suppress(
            av.error.InvalidDataError, av.error.UndefinedError, av.error.EOFError
        ):
            for frame in self._context.decode(packet):
                if frame.width * frame.height > LARGEST:
                    raise refusal(FilmRefusal.TOO_MANY_POINTS)
                # A decoder may be a look behind.
                self._seen(at if frame.pts is None else frame.pts, (frame.width, frame.height))
                self.first = self.first or frame

    def _seen(self, at: int, size: tuple[int, int] | None) -> None:
        """From `at` on the picture has this size."""
        if self._now is not None:
            since, before = self._now
            self.sizes[before] += max(at - since, 1)
        self._now = None if size is None else (at, size)


def survey(film: InputContainer, picture: VideoStream, sounds: Sequence[AudioStream]) -> Survey:
    """Go through `film`, whose tracks these are. Raises what `refusal` makes."""
    seen = _Line(time_base(picture), heard=False)
    heard = {sound.index: _Line(time_base(sound), heard=True) for sound in sounds}
    shown: list[_Shown] = []
    looks = _Looks(picture)
    for packet in packets(film, picture, sounds):
        if not packet.size:
            continue
        if packet.stream_index in heard:
            heard[packet.stream_index].take(packet)
        else:
            part = seen.take(packet)
            if part is not None:
                shown += [_Shown() for _ in range(part + 1 - len(shown))]
                shown[part].take(packet)
            looks.take(packet)
    looks.take(None)
    if not any(one.ticks for one in shown):
        raise refusal(FilmRefusal.NO_PICTURE)
    if looks.first is None:
        raise refusal(FilmRefusal.BROKEN)
    lines = list(heard.values())
    if len(shown) > _MOST_PARTS or any(len(line.spans) > len(shown) for line in lines):
        raise refusal(FilmRefusal.TANGLED)
    step = _usual([one.ticks for one in shown], seen.base)
    parts: list[Part] = []
    appear = array("q")
    for number, one in enumerate(shown):
        own = seen.spans[number]
        own.end += one.lasts * seen.base or step
        spans = [line.spans[number] for line in lines if number < len(line.spans)]
        begin = min([own.begin, *(span.begin for span in spans)])
        if own.begin - begin <= _LEAD:
            begin = own.begin
        at = parts[-1].end if parts else Fraction(0)
        end = max([own.end, *(span.end for span in spans)])
        parts.append(Part(begin, at, at + end - begin))
        when = parts[-1].when
        appear.extend(int(when(tick * seen.base) * 1000) for tick in sorted(one.ticks))
    largest = max(looks.sizes, key=lambda size: (size[0] * size[1], looks.sizes[size]))
    return Survey(tuple(parts), looks.first, largest, appear)


def _usual(shown: Sequence[Sequence[int]], base: Fraction) -> Fraction:
    """Seconds between two pictures, as most of them have it."""
    steps = sorted(
        after - before
        for ticks in map(sorted, shown)
        for before, after in itertools.pairwise(ticks)
        if after > before
    )
    return steps[len(steps) // 2] * base if steps else _SOME_STEP


def packets(
    film: InputContainer, picture: VideoStream, sounds: Sequence[AudioStream]
) -> Iterator[Packet[Any]]:
    """Every packet of these tracks; where the file is torn, what came before, and then an empty one
    for each track, which has its decoder give back what it holds.

    Of pictures before the first key frame nothing can be made: a call that was joined late begins
    so, and they are left out.
    """
    tracks: Sequence[Track] = (picture, *sounds)
    found, begun = demuxed(film, *tracks), False
    while True:
        try:
            packet = next(found)
        except StopIteration:
            return
        except av.error.InvalidDataError:
            for track in tracks:
                empty: Packet[Any] = Packet()
                empty.stream = track
                yield empty
            return
        if packet.size and packet.stream is picture and not begun:
            begun = packet.is_keyframe
            if not begun:
                continue
        yield packet
