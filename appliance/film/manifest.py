"""What is written about a film, in clear and signed: how it began, its segments, how it ended.

    recordings/<id>/0000.mp4.age     about 30 s: ftyp moov (moof mdat free?)*, sealed to the case
    recordings/<id>/0000.index.age   where each of its samples lies and when it is shown, sealed
    recordings/<id>/manifest         public facts, a line each; once it has its end, a C2SP signed
                                     note

Everything here is readable without a key. How a film is opened and played again is
`appliance.film.recording`.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from appliance.errors import BadFile
from appliance.records.files import Fact, Timestamp, from_json, read_plain, to_json
from appliance.records.signing import Verifier, open_note, split_note

MANIFEST = "manifest"


class EndReason(StrEnum):
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


FilmKind = Literal["visit", "review", "imported"]
"""A family together, the shared review itself, or a film from elsewhere."""
Sha256 = Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{64}\Z")]
Count = Annotated[int, msgspec.Meta(ge=0)]
Seconds = Annotated[float, msgspec.Meta(ge=0)]
Size = tuple[Count, Count]
"""Width and height."""
_WHOLE = 0.95
"""Of the lens's width: from here on a film counts as showing all of it."""


class FilmStarted(Fact, frozen=True, kw_only=True, omit_defaults=True, tag="film/v1"):
    """The first line: whose film this is, who allowed it, for how long.

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
    started: Timestamp
    original: Sha256 | None = None


class FilmedWith(Fact, frozen=True, kw_only=True, omit_defaults=True, tag="camera/v1"):
    """The second line of a film that a kit made: what its camera was set to.

    Sizes are in pixels, `bit_rate` in bits a second of the picture. None stands for what this
    camera does not say or cannot set.
    """

    camera: Annotated[str, msgspec.Meta(max_length=100)]
    """What its driver calls it."""
    size: Size
    frame_rate: Count
    encoder: Annotated[str, msgspec.Meta(max_length=100)]
    bit_rate: Count
    read: Size | None = None
    """Points of the sensor that are read."""
    seen: Annotated[float, msgspec.Meta(ge=0, le=1)] | None = None
    """The share of the sensor's width that is in the picture."""
    focus: Seconds | None = None
    """Where the lens is sharp, in dioptres: one divided by metres, 0 for far away."""
    exposure: tuple[Count, Count] | None = None
    """The shortest and the longest that a picture is exposed, in microseconds."""

    @property
    def is_whole(self) -> bool:
        """True if it is known to show all that the lens sees from left to right, or next to all."""
        return self.seen is not None and self.seen >= _WHOLE


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
    `seconds` are sums over the lines above: only the case's key can count the tail."""

    why: EndReason
    ended: Timestamp | None
    segments: Count
    frames: Count
    seconds: Seconds
    tail: Tail | None = None

    @classmethod
    def after(
        cls,
        segments: Sequence[SegmentClosed],
        why: EndReason,
        ended: Timestamp | None,
        tail: Tail | None = None,
    ) -> "FilmEnded":
        """The line behind these."""
        return cls(
            why=why,
            ended=ended,
            segments=len(segments),
            frames=sum(segment.frames for segment in segments),
            seconds=sum(segment.seconds for segment in segments),
            tail=tail,
        )


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
    at: Timestamp | None


class Mended(Fact, frozen=True, kw_only=True, tag="mended/v1"):
    """What the page made again of a segment, once a practitioner had unlocked it.

    `source` is the SHA-256 of the segment as the recorder left it. `segment` tells of the whole
    one and its index beside the case; where it has the digest of `source`, only the index was lost.
    """

    recording: str
    source: Sha256
    segment: SegmentClosed
    made: Timestamp


@dataclass(frozen=True)
class Manifest:
    """What the kit says of a film. Without `signed_by` nobody vouches for it."""

    started: FilmStarted
    segments: tuple[SegmentClosed, ...]
    ended: FilmEnded | None
    signed_by: Verifier | None
    filmed_with: FilmedWith | None = None

    @property
    def files(self) -> tuple[tuple[str, int, str], ...]:
        """Name, size and SHA-256 (hex) of each sealed file of the film, as far as it is told."""
        tail = self.ended.tail if self.ended else None
        return (
            *((s.name, s.size, s.sha256) for s in self.segments),
            *((s.index, s.index_size, s.index_sha256) for s in self.segments),
            *([(tail.name, tail.size, tail.sha256)] if tail else ()),
        )


FilmFact = FilmStarted | FilmedWith | SegmentClosed | FilmEnded
_LINE: msgspec.json.Decoder[FilmFact] = msgspec.json.Decoder(FilmFact)


def segment_name(number: int) -> str:
    return f"{number:04d}.mp4.age"


def index_name(number: int) -> str:
    return f"{number:04d}.index.age"


MENDED_NAME = re.compile(r"[0-9]{4}\.mended")


def mended_name(number: int) -> str:
    return f"{number:04d}.mended"


def manifest_lines(*facts: FilmFact) -> str:
    """Lines for a manifest. With the last one the whole text is signed: `signer.sign(text)`."""
    return "".join(f"{to_json(fact).decode()}\n" for fact in facts)


def parse_manifest(text: str, verifiers: Sequence[Verifier] = ()) -> Manifest:
    """Read a manifest, also one that was never finished: it has no end, and nobody signed it.

    A last line without its newline was being written when the power went, and does not count. With
    `verifiers`, a signed manifest must be signed by one of them; without, anybody may have signed.
    Raises BadFile for anything that our recorder does not write, BadSignature.
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
    told = facts[1] if len(facts) > 1 else None
    filmed_with = told if isinstance(told, FilmedWith) else None
    segments = [fact for fact in facts if isinstance(fact, SegmentClosed)]
    if len(facts) != 1 + (filmed_with is not None) + len(segments) + (ended is not None):
        raise BadFile("This manifest says twice how its film began, was made or ended.")
    for number, segment in enumerate(segments):
        expected = (number, segment_name(number), index_name(number))
        if (segment.number, segment.name, segment.index) != expected:
            raise BadFile(
                "Where %(what)s should be, this manifest has something else.", what=expected[1]
            )
    if divided and ended is None:
        raise BadFile("This manifest is signed and does not say how its film ended.")
    if ended is not None:
        _check_end(ended, segments)
    return Manifest(started, tuple(segments), ended, signed_by, filmed_with)


def _check_end(ended: FilmEnded, segments: Sequence[SegmentClosed]) -> None:
    counted = (len(segments), sum(segment.frames for segment in segments))
    if (ended.segments, ended.frames) != counted:
        raise BadFile("This manifest does not add up: its end counts other segments or frames.")
    if ended.tail is not None and ended.tail.name != segment_name(len(segments)):
        raise BadFile("The tail in this manifest is not the segment that was being written.")


def _parsed(line: str) -> FilmFact:
    try:
        return from_json(line, _LINE)
    except BadFile as error:
        raise BadFile("This manifest has a line that we do not write.") from error


def read_manifest(directory: Path, verifiers: Sequence[Verifier] = ()) -> Manifest:
    """The manifest in a recording's directory. Raises BadFile, BadSignature."""
    try:
        text = read_plain(directory / MANIFEST).decode()
    except FileNotFoundError as error:
        raise BadFile(
            "%(name)s is not a recording: it has no manifest.",
            "Give the directory of a recording, recordings/<id>.",
            name=directory.name,
        ) from error
    except UnicodeDecodeError as error:
        raise BadFile("The manifest of this recording is damaged.") from error
    return parse_manifest(text, verifiers)
