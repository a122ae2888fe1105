"""Films: how one is cut into sealed segments, what is written beside them, and how they play again.

    recordings/<id>/0000.mp4.age     about 30 s: ftyp moov (moof mdat free?)*, sealed to the case
    recordings/<id>/0000.index.age   where each of its samples lies and when it is shown, sealed
    recordings/<id>/manifest         public facts, a line each: how it began, its segments, how it
                                     ended; then it is a C2SP signed note

The recorder feeds the muxer's bytes to a `FragmentSplitter` and each fragment to an
`IndexBuilder`. Whoever may open the case joins the segments to one plain progressive MP4 that
nobody ever writes: a `moov` made from the indexes in front of the segments' own bytes, opened where
they are read (`JoinedFilm`).
"""

import bisect
import hashlib
import io
import operator
import threading
from array import array
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from fractions import Fraction
from itertools import chain, pairwise
from typing import Annotated, Literal, Protocol

import msgspec

from appliance import boxes
from appliance.errors import BadFile, Incomplete
from appliance.files import Fact, to_json
from appliance.signing import Verifier, open_note, split_note

MUXER = "mp4"
MUXER_OPTIONS: Mapping[str, str] = {
    "movflags": "empty_moov+default_base_moof+frag_keyframe+skip_trailer",
    # A little under a fifth of a second: the fragment ends at the first frame that reaches it.
    "frag_duration": "190000",
    "use_editlist": "0",
}
"""What `av.open(sink, "w", format=MUXER, options=MUXER_OPTIONS)` needs to write such films."""

INIT_LIMIT = 1 << 20
FRAGMENT_LIMIT = 16 << 20
_OPEN_SEGMENTS = 3
_HASHED_AT_ONCE = 1 << 20


# --- The manifest -------------------------------------------------------------------------------


class EndReason(Enum):
    """Why a film ended. The manifest, the page and the log all use these codes."""

    BUTTON = "button"
    LIMIT = "limit"
    PAGE = "page"
    POWER = "power"
    SHUTDOWN = "shutdown"
    WITHDRAWN = "withdrawn"
    CAMERA_FAILED = "camera-failed"
    FRAMES_STOPPED = "frames-stopped"
    SOUND_FAILED = "sound-failed"
    LIGHT_FAILED = "light-failed"
    DISK_FAILED = "disk-failed"
    SLOW_CARD = "slow-card"
    FAULT = "fault"


Moment = Annotated[datetime, msgspec.Meta(tz=True)]
Sha256 = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}$")]
Count = Annotated[int, msgspec.Meta(ge=0)]
Seconds = Annotated[float, msgspec.Meta(ge=0)]


class FilmStarted(Fact, frozen=True, kw_only=True, tag="film/v1"):
    """The first line: whose film this is, by whose leave, for how long.

    `permit` and `consent` are the permit's id and the consent's digest, `recipient` is the SHA-256
    of the case recipient's text, `limit` is in seconds.
    """

    recording: str
    case: str
    kit: str
    permit: str
    consent: str
    recipient: Sha256
    kind: Literal["visit"]
    limit: Count
    sound: bool
    boot: str
    started: Moment


class SegmentClosed(Fact, frozen=True, kw_only=True, tag="segment/v1"):
    """A segment is whole and on the card. Sizes and digests are of the sealed files, `frames` and
    `seconds` of its picture."""

    number: Count
    name: str
    size: Count
    sha256: Sha256
    frames: Count
    seconds: Seconds
    index: str
    index_size: Count
    index_sha256: Sha256


class Tail(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The segment that was being written when the power went, as it was found: it has no line."""

    name: str
    size: Count
    sha256: Sha256


class FilmEnded(Fact, frozen=True, kw_only=True, tag="ended/v1"):
    """The last line. `ended` is None where no trusted clock saw it; `segments`, `frames` and
    `seconds` are the sums over the lines above, without the tail, which only the case's key can
    count."""

    why: EndReason
    ended: Moment | None
    segments: Count
    frames: Count
    seconds: Seconds
    tail: Tail | None = None


@dataclass(frozen=True)
class Manifest:
    """What the kit says of a film. Without `signed_by` nobody vouches for it."""

    started: FilmStarted
    segments: tuple[SegmentClosed, ...]
    ended: FilmEnded | None
    signed_by: Verifier | None


FilmFact = FilmStarted | SegmentClosed | FilmEnded
_LINE: msgspec.json.Decoder[FilmFact] = msgspec.json.Decoder(FilmFact)


def segment_name(number: int) -> str:
    return f"{number:04d}.mp4.age"


def index_name(number: int) -> str:
    return f"{number:04d}.index.age"


def manifest_line(fact: FilmFact) -> str:
    """A line for a manifest. With the last one the whole text is signed: `signer.sign(text)`."""
    return to_json(fact).decode() + "\n"


def parse_manifest(text: str, verifiers: Sequence[Verifier] = ()) -> Manifest:
    """Read a manifest, also one that was never finished: it has no end, and nobody signed it.

    A last line without its newline was being written when the power went, and does not count. With
    `verifiers`, a signed manifest must be signed by one of them; without, it is not looked into who
    signed. Raises BadFile for anything that our recorder does not write, BadSignature.
    """
    body, divided, block = text.rpartition("\n\n")
    signed_by = None
    if not divided:
        body = text[: text.rfind("\n") + 1]
    elif block.endswith("\n"):
        if verifiers:
            body, signed_by = open_note(text, verifiers)
        else:
            body, _ = split_note(text)
    else:
        body += "\n"
    facts = [_parsed(line) for line in body.split("\n")[:-1]]
    started, ended = (facts[0], facts[-1]) if facts else (None, None)
    if not isinstance(started, FilmStarted):
        raise BadFile("This manifest does not say how its film began.")
    if not isinstance(ended, FilmEnded):
        ended = None
    segments = [fact for fact in facts if isinstance(fact, SegmentClosed)]
    if len(facts) != 1 + len(segments) + (ended is not None):
        raise BadFile("This manifest says twice how its film began or ended.")
    for number, segment in enumerate(segments):
        expected = (number, segment_name(number), index_name(number))
        if (segment.number, segment.name, segment.index) != expected:
            raise BadFile(f"Where {expected[1]} should be, this manifest has something else.")
    if divided and ended is None:
        raise BadFile("This manifest is signed and does not say how its film ended.")
    if ended is not None:
        counted = (len(segments), sum(segment.frames for segment in segments))
        if (ended.segments, ended.frames) != counted:
            raise BadFile("This manifest does not add up: its end counts other segments or frames.")
        if ended.tail is not None and ended.tail.name != segment_name(len(segments)):
            raise BadFile("The tail in this manifest is not the segment that was being written.")
    return Manifest(started, tuple(segments), ended, signed_by)


def _parsed(line: str) -> FilmFact:
    try:
        return _LINE.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadFile(f"This manifest has a line that we do not write: {error}.") from error


# --- The muxer's stream -------------------------------------------------------------------------


@dataclass(frozen=True)
class Init:
    """The head of a film: ftyp and moov, to be put in front of every segment."""

    data: bytes
    tracks: Mapping[int, boxes.Track]

    @classmethod
    def parse(cls, data: bytes) -> "Init":
        """Raises BadFile."""
        names = [box.name for box in boxes.boxes(data)]
        if names != [b"ftyp", b"moov"]:
            raise BadFile("This film does not begin as ours do.")
        moov = boxes.child(data, None, b"moov")
        tracks = boxes.tracks(data[moov.start : moov.end])
        return cls(data, {track.id: track for track in tracks})

    @property
    def picture(self) -> boxes.Track:
        return next(track for track in self.tracks.values() if track.kind == "video")


@dataclass(frozen=True)
class Fragment:
    """One moof and its mdat. Offsets in `samples` count from the start of `data`."""

    data: bytes
    samples: tuple[boxes.Samples, ...]
    starts_with_key: bool
    frames: int
    seconds: Fraction
    """How long its picture lasts; 0 where it has only sound."""


class FragmentSplitter:
    """Takes the muxer's bytes in any pieces and gives back the head of the film and its fragments.

    Holds one unfinished fragment and nothing more. One thread at a time.
    """

    def __init__(self) -> None:
        self._pending = bytearray()
        self._init: Init | None = None

    def feed(self, piece: bytes) -> list[Init | Fragment]:
        """What `piece` completed: first of all the Init, once; then fragments. Raises BadFile."""
        self._pending += piece
        found: list[Init | Fragment] = []
        while (unit := self._next()) is not None:
            found.append(unit)
        return found

    def finish(self) -> None:
        """Call after the last piece. Raises Incomplete if the stream ended within a fragment."""
        if self._pending or self._init is None:
            raise Incomplete("The film ended in the middle of a fragment.")

    def _next(self) -> Init | Fragment | None:
        if self._init is None:
            length = _pair(self._pending, b"ftyp", b"moov", INIT_LIMIT)
        else:
            length = _pair(self._pending, b"moof", b"mdat", FRAGMENT_LIMIT)
        if length is None or len(self._pending) < length:
            return None
        data = bytes(memoryview(self._pending)[:length])
        del self._pending[:length]
        if self._init is None:
            self._init = Init.parse(data)
            return self._init
        return _fragment(self._init, data)


def _pair(data: bytes | bytearray, first: bytes, second: bytes, limit: int) -> int | None:
    """The length of the two boxes at the start of `data`, or None until it can be told."""
    length = 0
    for name in (first, second):
        found = boxes.header(data, length)
        if found is None:
            return None
        if found[0] != name:
            raise BadFile(f"Where a {name.decode()} should be, this film has something else.")
        length += found[2]
        if length > limit:
            raise BadFile(f"A {name.decode()} of this film is too long to be one of ours.")
        if len(data) < length:
            return None
    return length


def _fragment(init: Init, data: bytes) -> Fragment:
    moof, mdat = boxes.boxes(data)
    samples = boxes.fragment(data[: moof.end], mdat.body, mdat.end, init.tracks)
    picture = [run for run in samples if run.track == init.picture.id]
    return Fragment(
        data,
        samples,
        starts_with_key=bool(picture) and 0 in picture[0].keys,
        frames=sum(len(run.sizes) for run in picture),
        seconds=Fraction(sum(sum(run.durations) for run in picture), init.picture.timescale),
    )


# --- The index ----------------------------------------------------------------------------------


class Run(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Samples of one track that lie side by side.

    `offset` is where the first lies in the segment, `time` when it is decoded, in ticks.
    `durations` and `shifts` (composition offsets; empty if all are zero) are pairs of how many and
    how long; `keys` are the places of the key frames (empty for sound, where every sample is one).
    """

    offset: int
    time: int
    sizes: tuple[int, ...]
    durations: tuple[tuple[int, int], ...]
    keys: tuple[int, ...] = ()
    shifts: tuple[tuple[int, int], ...] = ()


class TrackIndex(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    id: int
    kind: Literal["video", "sound"]
    timescale: int
    runs: tuple[Run, ...]


class SegmentIndex(Fact, frozen=True, kw_only=True, tag="index/v1"):
    """Where every sample of a segment lies and when it is shown. `size` is the plaintext's."""

    recording: str
    number: int
    size: int
    init: bytes
    tracks: tuple[TrackIndex, ...]

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

    `size` is the plaintext's length so far: tell it with `padded` what else than fragments is
    written.
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

    def padded(self, size: int) -> None:
        """The plaintext is now `size` bytes long, whatever was written behind the last fragment."""
        self.size = size

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


class Plaintext(Protocol):
    """A segment, opened: what `appliance.unsealing.SealedReader` is."""

    @property
    def size(self) -> int: ...

    def read_at(self, offset: int, length: int, /) -> bytes:
        """`length` bytes from `offset`, fewer only at the end."""

    def close(self) -> None: ...


def rebuild_index(segment: Plaintext, recording: str, number: int) -> SegmentIndex:
    """The index of a segment from its own fragments, however it ended: whole fragments only.

    Reads the boxes' heads and not the pictures. Raises BadFile if it is not a segment of ours,
    Incomplete if not even its head is there.
    """
    head = segment.read_at(0, INIT_LIMIT)
    length = _pair(head, b"ftyp", b"moov", INIT_LIMIT)
    if length is None:
        raise Incomplete("This segment ended before its first fragment.")
    init = Init.parse(head[:length])
    builder = IndexBuilder(init, recording, number)
    while (at := _next_fragment(segment, init, builder)) is not None:
        builder.padded(at)
    return builder.build()


def _next_fragment(segment: Plaintext, init: Init, builder: IndexBuilder) -> int | None:
    """Take in the fragment (or filling) behind what `builder` has: where it ends, None if it does
    not."""
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
    if at + end > segment.size:
        return None
    moof = segment.read_at(at, length)
    builder.add_samples(boxes.fragment(moof, length + behind[1], end, init.tracks), at)
    return at + end


def _spread(pairs: Iterable[tuple[int, int]]) -> Iterator[int]:
    return chain.from_iterable((value,) * count for count, value in pairs)


# --- The joined view ----------------------------------------------------------------------------


class FrameTable:
    """When each frame of a film is shown, exactly, in the order they are shown."""

    def __init__(self, timescale: int, times: Sequence[int], keys: Sequence[int], end: int) -> None:
        self.timescale = timescale
        self.ticks = array("q", times)
        self.key_ticks = array("q", keys)
        self.end_ticks = end

    def __len__(self) -> int:
        return len(self.ticks)

    def time(self, frame: int) -> Fraction:
        """Seconds from the start of the film at which frame number `frame` (from 0) appears."""
        return Fraction(self.ticks[frame], self.timescale)

    @property
    def end(self) -> Fraction:
        """Seconds at which the last frame goes."""
        return Fraction(self.end_ticks, self.timescale)

    def at(self, seconds: Fraction | float) -> int:
        """The number of the frame that is seen at `seconds`; the nearest one outside the film."""
        place = bisect.bisect_right(self.ticks, Fraction(seconds) * self.timescale) - 1
        return min(max(place, 0), len(self.ticks) - 1)


class JoinedFilm:
    """A film's segments as one progressive MP4 that is in no file: size, and bytes from anywhere.

    What is missing between two segments becomes a longer last frame before the gap; what is
    missing at the start, an empty edit: times always count from the start of the film. Holds the
    tables, and at most three segments open. Any thread may read. Raises BadFile if there is no
    segment or if the indexes are not of one film, in order.
    """

    def __init__(self, segments: Iterable[tuple[SegmentIndex, Callable[[], Plaintext]]]) -> None:
        indexes, self._openers = [], []
        for index, opener in segments:
            indexes.append(index)
            self._openers.append(opener)
        if not indexes:
            raise BadFile("There is nothing in this film that could be played.")
        for before, after in pairwise(indexes):
            if (after.recording, after.init) != (before.recording, before.init) or not (
                before.number < after.number
            ):
                raise BadFile("These segments are not of one film, or not in order.")
        for index in indexes:
            index.check()
        tables = {t.id: _table(indexes, place) for place, t in enumerate(indexes[0].tracks)}
        picture = next(tables[t.id] for t in indexes[0].tracks if t.kind == "video")
        if not picture.times:
            raise BadFile("There is not one whole picture in this film.")
        self.frames = _frame_table(picture)
        self._sizes = [index.size for index in indexes]
        self._head = boxes.progressive_head(indexes[0].init, tables, sum(self._sizes))
        self._starts = [len(self._head)]
        for size in self._sizes:
            self._starts.append(self._starts[-1] + size)
        self.size = self._starts[-1]
        self.etag = hashlib.sha256(indexes[0].recording.encode() + self._head).hexdigest()[:32]
        """Changes when a byte of the virtual file would."""
        self._open: OrderedDict[int, Plaintext] = OrderedDict()
        self._lock = threading.Lock()
        self._closed = False

    @property
    def seconds(self) -> Fraction:
        """How long the picture lasts, from the start of the film."""
        return self.frames.end

    def read_at(self, offset: int, length: int) -> bytes:
        """`length` bytes of the virtual file from `offset`, fewer only at its end. Any thread.

        Raises what opening or reading a segment raises, and BadFile if a segment is shorter than
        its index says; ValueError after `close`.
        """
        end = min(offset + length, self.size)
        if offset < 0 or offset >= end:
            return b""
        parts = [self._head[offset:end]]
        place = max(bisect.bisect_right(self._starts, offset) - 1, 0)
        while place < len(self._openers) and self._starts[place] < end:
            start = self._starts[place]
            first, last = max(offset - start, 0), min(end - start, self._sizes[place])
            if first < last:
                parts.append(self._read_segment(place, first, last - first))
            place += 1
        return b"".join(parts)

    def open(self) -> "JoinedFile":
        """The virtual file as a file object with a position of its own, for PyAV and copying."""
        return JoinedFile(self)

    def close(self) -> None:
        """Close every segment; whoever still reads gets a ValueError. Safe to call twice."""
        with self._lock:
            self._closed = True
            while self._open:
                self._open.popitem()[1].close()

    def _read_segment(self, place: int, offset: int, length: int) -> bytes:
        # One lock for all: opening is rare, and unsealing holds the interpreter's lock anyway.
        with self._lock:
            if self._closed:
                raise ValueError("This film was closed.")
            segment = self._open.get(place)
            if segment is None:
                while len(self._open) >= _OPEN_SEGMENTS:
                    self._open.popitem(last=False)[1].close()
                segment = self._open[place] = self._openers[place]()
            self._open.move_to_end(place)
            data = segment.read_at(offset, length)
        if len(data) != length:
            raise BadFile("A segment of this film is shorter than its index says.")
        return data


class JoinedFile(io.RawIOBase):
    """A `JoinedFilm` as a seekable, read-only file object."""

    def __init__(self, film: JoinedFilm) -> None:
        self._film = film
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._film.size}[whence]
        if base + offset < 0:
            raise ValueError("A position cannot be before the start of the film.")
        self._position = base + offset
        return self._position

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        view = memoryview(buffer).cast("B")
        data = self._film.read_at(self._position, len(view))
        view[: len(data)] = data
        self._position += len(data)
        return len(data)


def _table(indexes: Sequence[SegmentIndex], place: int) -> boxes.Table:
    """One track's samples over the whole film."""
    track = indexes[0].tracks[place]
    table = boxes.Table(track.timescale)
    base = 0
    for index in indexes:
        for run in index.tracks[place].runs:
            if table.times and run.time <= table.times[-1]:
                raise BadFile("Two fragments of this film claim the same time.")
            table.chunks.append(base + run.offset)
            table.counts.append(len(run.sizes))
            table.keys.extend(len(table.times) + key for key in run.keys)
            table.sizes.extend(run.sizes)
            table.shifts.extend(_spread(run.shifts) if run.shifts else (0,) * len(run.sizes))
            time = run.time
            for duration in _spread(run.durations):
                table.times.append(time)
                time += duration
            table.end = time
        base += index.size
    return table


def _frame_table(table: boxes.Table) -> FrameTable:
    shown = array("q", map(operator.add, table.times, table.shifts))
    keys = [shown[key] for key in table.keys]
    return FrameTable(table.timescale, sorted(shown), sorted(keys), table.end)
