"""Films: how one is cut into sealed segments, what is written beside them, and how they play again.

    recordings/<id>/0000.mp4.age     about 30 s: ftyp moov (moof mdat free?)*, sealed to the case
    recordings/<id>/0000.index.age   where each of its samples lies and when it is shown, sealed
    recordings/<id>/manifest         public facts, a line each: how it began, its segments, how it
                                     ended; then it is a C2SP signed note

The recorder feeds the muxer's bytes to a `FragmentSplitter` and each fragment to an
`IndexBuilder`. How a film is opened and played again is `appliance.joined`.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from fractions import Fraction
from itertools import chain
from typing import Annotated, Literal, Protocol

import msgspec

from appliance import boxes
from appliance.consent import FilmKind
from appliance.errors import BadFile, Incomplete
from appliance.records.files import Fact, one_of, to_json
from appliance.records.signing import Verifier, open_note, split_note

MUXER = "mp4"
MUXER_OPTIONS: Mapping[str, str] = {
    "movflags": "empty_moov+default_base_moof+frag_keyframe+skip_trailer",
    # A little under a sixth of a second: the fragment ends at the first frame that reaches it.
    "frag_duration": "155000",
    "use_editlist": "0",
}
"""What `av.open(sink, "w", format=MUXER, options=MUXER_OPTIONS)` needs to write such films."""

INIT_LIMIT = 1 << 20
FRAGMENT_LIMIT = 16 << 20


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
    IMPORTED = "imported"


Moment = Annotated[datetime, msgspec.Meta(tz=True)]
Sha256 = Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{64}\Z")]
Count = Annotated[int, msgspec.Meta(ge=0)]
Seconds = Annotated[float, msgspec.Meta(ge=0)]


class FilmStarted(Fact, frozen=True, kw_only=True, omit_defaults=True, tag="film/v1"):
    """The first line: whose film this is, by whose leave, for how long.

    `permit` and `consent` are the permit's id and the consent's digest, `recipient` is the SHA-256
    of the case recipient's text, `limit` is in seconds. A film that was imported has no permit;
    `started` is when that was, and `original` the digest of the file it was made from.
    """

    recording: str
    case: str
    kit: str
    permit: str
    consent: str
    recipient: Sha256
    kind: FilmKind
    limit: Count
    sound: bool
    boot: str
    started: Moment
    original: Sha256 | None = None


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


class FilmRemoved(Fact, frozen=True, kw_only=True, tag="film-removed/v1"):
    """A film is gone from its kit: signed by the recorder before it removed anything.

    `manifest` is the SHA-256 of the film's manifest as it stood. `why`: somebody held the button
    after the film, or a signed order came, whose SHA-256 `order` is (otherwise ''). `at` is None
    where no trusted clock saw it.
    """

    recording: str
    case: str
    kit: str
    permit: str
    manifest: Sha256
    why: Literal["button", "order"]
    order: str
    at: Moment | None


class Mended(Fact, frozen=True, kw_only=True, tag="mended/v1"):
    """What the page made again of a segment, once a practitioner had unlocked it.

    `source` is the SHA-256 of the segment as the recorder left it. `segment` tells of the whole
    one and its index beside the case; where it has the digest of `source`, only the index was lost.
    """

    recording: str
    source: Sha256
    segment: SegmentClosed
    made: Moment


@dataclass(frozen=True)
class Manifest:
    """What the kit says of a film. Without `signed_by` nobody vouches for it."""

    started: FilmStarted
    segments: tuple[SegmentClosed, ...]
    ended: FilmEnded | None
    signed_by: Verifier | None

    @property
    def files(self) -> tuple[tuple[str, int, str], ...]:
        """Name, size and SHA-256 (hex) of each sealed file of the film, as far as it is told."""
        tail = self.ended.tail if self.ended else None
        return (
            *((s.name, s.size, s.sha256) for s in self.segments),
            *((s.index, s.index_size, s.index_sha256) for s in self.segments),
            *([(tail.name, tail.size, tail.sha256)] if tail else ()),
        )


FilmFact = FilmStarted | SegmentClosed | FilmEnded
_LINE: msgspec.json.Decoder[FilmFact] = msgspec.json.Decoder(FilmFact)


def segment_name(number: int) -> str:
    return f"{number:04d}.mp4.age"


def index_name(number: int) -> str:
    return f"{number:04d}.index.age"


MENDED_NAME = re.compile(r"[0-9]{4}\.mended")


def mended_name(number: int) -> str:
    return f"{number:04d}.mended"


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
            raise BadFile(
                "Where %(what)s should be, this manifest has something else.", what=expected[1]
            )
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
        return one_of(_LINE, line)
    except BadFile as error:
        raise BadFile("This manifest has a line that we do not write.") from error


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
            raise BadFile(
                "Where a %(name)s should be, this film has something else.", name=name.decode()
            )
        length += found[2]
        if length > limit:
            raise BadFile(
                "A %(name)s of this film is too long to be one of ours.", name=name.decode()
            )
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
    """Where every sample of a segment lies and when it is shown. `size` is the plaintext's."""

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
    """A segment, opened: what `appliance.age.unsealing.SealedReader` is."""

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
