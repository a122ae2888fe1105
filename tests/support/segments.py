"""A film in segments: in memory, as the recorder makes them, and as a recording on the card."""

import contextlib
import hashlib
import io
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import av
import msgspec

from appliance.age.sealing import seal
from appliance.age.unsealing import Identity
from appliance.film import boxes
from appliance.film.fragments import Fragment, FragmentSplitter, Init
from appliance.film.index import IndexBuilder
from appliance.film.joined import JoinedFilm, Part
from appliance.film.manifest import (
    EndReason,
    FilmEnded,
    FilmStarted,
    SegmentClosed,
    Tail,
    index_name,
    manifest_lines,
    parse_manifest,
    segment_name,
)
from appliance.film.recording import open_recording
from appliance.records.files import to_json
from appliance.records.signing import Signer
from tests.support import films

RECORDING = "a" * 16


def tone(sample: int) -> float:
    return 0.3 * ((sample * 440 // 24_000) % 2) - 0.15


def split(data: bytes, sizes: Iterable[int] = (1 << 30,)) -> tuple[Init, list[Fragment]]:
    splitter, stream, units = FragmentSplitter(), io.BytesIO(data), []
    for size in sizes:
        units += splitter.feed(stream.read(size))
    units += splitter.feed(stream.read())
    splitter.finish()
    init, *fragments = units
    assert isinstance(init, Init)
    assert all(isinstance(unit, Fragment) for unit in fragments)
    return init, [unit for unit in fragments if isinstance(unit, Fragment)]


@dataclass
class Segment:
    """A segment in memory, as the recorder makes it: each of one second, filled up now and then."""

    builder: IndexBuilder
    data: bytearray

    @property
    def size(self) -> int:
        return len(self.data)

    def read_at(self, offset: int, length: int, /) -> bytes:
        return bytes(self.data[offset : offset + length])

    def close(self) -> None:
        pass


def segments_of(init: Init, fragments: list[Fragment], fill: int = 4096) -> list[Segment]:
    found: list[Segment] = []
    for fragment in fragments:
        if fragment.starts_with_key or not found:
            builder = IndexBuilder(init, RECORDING, len(found))
            found.append(Segment(builder, bytearray(init.data)))
        segment = found[-1]
        segment.builder.add(fragment, segment.size)
        segment.data += fragment.data
        if len(found) % 2:
            empty = -(segment.size + 8) % fill
            segment.data += boxes.make(b"free", bytes(empty))
            segment.builder.size = segment.size
    return found


def joined(segments: Iterable[Segment]) -> JoinedFilm:
    return JoinedFilm((Part(segment.builder.build()), lambda s=segment: s) for segment in segments)


SIGNER = Signer.generate("kit-1")


NOW = datetime(2026, 11, 21, 10, 0, tzinfo=UTC)


STARTED = FilmStarted(
    recording=RECORDING,
    case="b" * 16,
    kit="c" * 16,
    permit="d" * 16,
    consent="e" * 64,
    recipient="f" * 64,
    kind="visit",
    limit=300,
    sound=True,
    boot="boot",
    started=NOW,
)


def closed(number: int, frames: int = 30) -> SegmentClosed:
    return SegmentClosed(
        number=number,
        name=segment_name(number),
        size=10,
        sha256="0" * 64,
        frames=frames,
        seconds=1.0,
        index=index_name(number),
        index_size=5,
        index_sha256="1" * 64,
    )


def ended(segments: int, why: EndReason = EndReason.BUTTON, tail: Tail | None = None) -> FilmEnded:
    return FilmEnded(
        why=why,
        ended=NOW,
        segments=segments,
        frames=30 * segments,
        seconds=float(segments),
        tail=tail,
    )


def end_of(
    lines: list[SegmentClosed], why: EndReason = EndReason.BUTTON, tail: Tail | None = None
) -> FilmEnded:
    frames = sum(line.frames for line in lines)
    return msgspec.structs.replace(ended(len(lines), why, tail), frames=frames)


@dataclass(frozen=True)
class Recording:
    """A recording on the card, four segments of a second and a bit, and what opens it."""

    directory: Path
    identity: Identity

    def finish(self, *facts: FilmStarted | SegmentClosed | FilmEnded) -> None:
        (self.directory / "manifest").write_text(SIGNER.sign(manifest_lines(*facts)))

    def lines(self) -> list[SegmentClosed]:
        return list(parse_manifest((self.directory / "manifest").read_text()).segments)

    def numbers(self, *, check: bool = False) -> tuple[list[int], list[str]]:
        """The frames that play, and what is said to be missing."""
        opened = open_recording(self.directory, [self.identity], [SIGNER.verifier], check=check)
        with contextlib.closing(opened), av.open(opened.film.open(), "r") as film:
            shown = [films.number_in(frame) for frame in film.decode(video=0)]
            return shown, [str(part) for part in opened.missing]


def write_recording(directory: Path, segments: list[Segment], identity: Identity) -> Recording:
    directory.mkdir()
    lines = []
    for number, segment in enumerate(segments):
        film = seal(bytes(segment.data), [identity.recipient])
        index = seal(to_json(segment.builder.build()), [identity.recipient])
        (directory / segment_name(number)).write_bytes(film)
        (directory / index_name(number)).write_bytes(index)
        lines.append(
            msgspec.structs.replace(
                closed(number, segment.builder.frames),
                size=len(film),
                sha256=hashlib.sha256(film).hexdigest(),
                seconds=float(segment.builder.seconds),
                index_size=len(index),
                index_sha256=hashlib.sha256(index).hexdigest(),
            )
        )
    recording = Recording(directory, identity)
    recording.finish(STARTED, *lines, end_of(lines))
    return recording


def altered(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
