"""Where each sample of a segment lies and when it is shown: written as the film is made, or made
again from a segment that was opened."""

from collections.abc import Iterable
from fractions import Fraction
from itertools import chain
from typing import Annotated, Literal, Protocol

import msgspec

from appliance.errors import BadFile, Incomplete
from appliance.film import boxes
from appliance.film.fragments import FRAGMENT_LIMIT, INIT_LIMIT, Fragment, Init, box_pair
from appliance.records.files import Fact
from appliance.records.reading import Readable

Place = Annotated[int, msgspec.Meta(ge=0, le=1 << 48)]
Tick = Annotated[int, msgspec.Meta(ge=0, le=boxes.LAST_TICK)]
Shift = Annotated[int, msgspec.Meta(ge=-(1 << 31), lt=1 << 31)]


class Run(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Samples of one track that lie side by side.

    `offset` is where the first lies in the segment, `time` when it is decoded, in ticks.
    `durations` and `shifts` (composition offsets; empty if all are zero) are pairs of how many and
    how long; `keys` are the places of the key frames (empty for sound, where every sample is one).
    """

    offset: Place
    time: Tick
    sizes: tuple[Place, ...]
    durations: tuple[tuple[Tick, Tick], ...]
    keys: tuple[int, ...] = ()
    shifts: tuple[tuple[Tick, Shift], ...] = ()


class TrackIndex(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    id: int
    kind: Literal["video", "sound"]
    timescale: int
    runs: tuple[Run, ...]


class SegmentIndex(Fact, frozen=True, kw_only=True, tag="index/v1"):
    """The index of one segment. `size` is the plaintext's."""

    recording: str
    number: int
    size: Place
    init: bytes
    tracks: tuple[TrackIndex, ...]

    @property
    def frames(self) -> int:
        return sum(len(run.sizes) for run in self._picture.runs)

    @property
    def seconds(self) -> Fraction:
        """How long its picture lasts."""
        pairs = chain.from_iterable(run.durations for run in self._picture.runs)
        return Fraction(sum(count * ticks for count, ticks in pairs), self._picture.timescale)

    @property
    def _picture(self) -> TrackIndex:
        return next(track for track in self.tracks if track.kind == "video")

    def check(self) -> None:
        """Raises BadFile unless every sample lies within the segment and has its time."""
        tracks = Init.parse(self.init).tracks
        if [(t.id, t.kind, t.timescale) for t in self.tracks] != [
            (t.id, t.kind, t.timescale) for t in tracks.values()
        ]:
            raise BadFile("An index of this film does not fit its own head.")
        for run in chain.from_iterable(track.runs for track in self.tracks):
            count = len(run.sizes)
            counts = {sum(n for n, _ in pairs) for pairs in (run.durations, run.shifts) if pairs}
            if (
                count == 0
                or counts != {count}
                or not run.durations
                or min(*run.sizes, *chain.from_iterable(run.durations)) < 1
                or min(run.time, *(n for n, _ in run.shifts), 1) < 0
                or any(not 0 <= key < count for key in run.keys)
                or run.offset < len(self.init)
                or run.offset + sum(run.sizes) > self.size
            ):
                raise BadFile("An index of this film contradicts itself.")


class IndexBuilder:
    """Gathers a segment's index while it is written.

    `size` is the plaintext's length so far: set it when something else than fragments was written.
    """

    def __init__(self, init: Init, recording: str, number: int) -> None:
        self._init = init
        self._recording = recording
        self._number = number
        self._runs: dict[int, list[Run]] = {track: [] for track in init.tracks}
        self.size = len(init.data)
        self.frames = 0
        self.seconds = Fraction(0)

    def add(self, fragment: Fragment, offset: int) -> None:
        """Take in a fragment that lies at `offset` in the segment's plaintext."""
        self.add_samples(fragment.samples, offset)
        self.size = offset + len(fragment.data)

    def add_samples(self, samples: Iterable[boxes.Samples], offset: int) -> None:
        """Take in what a moof at `offset` says, without its pictures."""
        picture = self._init.picture
        for run in samples:
            is_picture = run.track == picture.id
            self._runs[run.track].append(
                Run(
                    offset + run.offset,
                    run.time,
                    run.sizes,
                    tuple(boxes.counted(run.durations)),
                    run.keys if is_picture else (),
                    tuple(boxes.counted(run.shifts)),
                )
            )
            if is_picture:
                self.frames += len(run.sizes)
                self.seconds += Fraction(sum(run.durations), picture.timescale)

    def build(self) -> SegmentIndex:
        return SegmentIndex(
            recording=self._recording,
            number=self._number,
            size=self.size,
            init=self._init.data,
            tracks=tuple(
                TrackIndex(track.id, track.kind, track.timescale, tuple(self._runs[track.id]))
                for track in self._init.tracks.values()
            ),
        )


class Plaintext(Readable, Protocol):
    """A segment, opened: what `appliance.age.unsealing.SealedReader` is."""

    def close(self) -> None: ...


def rebuild_index(segment: Readable, recording: str, number: int) -> SegmentIndex:
    """The index of a segment from its own fragments, however it ended: of one that was torn, what
    is whole of it.

    Reads the boxes' heads and not the pictures. Raises BadFile if it is not a segment of ours,
    Incomplete if not even its head is there.
    """
    head = segment.read_at(0, INIT_LIMIT)
    length = box_pair(head, b"ftyp", b"moov", INIT_LIMIT)
    if length is None:
        raise Incomplete("This segment ended before its first fragment.")
    init = Init.parse(head[:length])
    builder = IndexBuilder(init, recording, number)
    while (at := _next_fragment(segment, init, builder)) is not None:
        builder.size = at
    return builder.build()


def _next_fragment(segment: Readable, init: Init, builder: IndexBuilder) -> int | None:
    """Take in the fragment (or filling) behind what `builder` has; where it ends, if it does."""
    at = builder.size
    found = boxes.header(segment.read_at(at, 16))
    if found is None:
        return None
    name, _, length = found
    if name == b"free":
        return at + length if at + length <= segment.size else None
    if name != b"moof" or length > FRAGMENT_LIMIT:
        raise BadFile("Where a moof should be, this film has something else.")
    behind = boxes.header(segment.read_at(at + length, 16))
    if behind is None:
        return None
    if behind[0] != b"mdat" or behind[2] > FRAGMENT_LIMIT:
        raise BadFile("Where a mdat should be, this film has something else.")
    end = length + behind[2]
    moof = segment.read_at(at, length)
    samples = boxes.fragment(moof, length + behind[1], end, init.tracks)
    if at + end > segment.size:
        for run in boxes.whole(samples, segment.size - at):
            builder.add_samples([run], at)
            builder.size = max(builder.size, at + run.offset + sum(run.sizes))
        return None
    builder.add_samples(samples, at)
    return at + end
