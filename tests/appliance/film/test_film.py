"""Films taken apart as they are made, their manifests, and playing them again from what is left."""

import contextlib
import hashlib
import io
import random
import shutil
import struct
import subprocess
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path

import av
import msgspec
import pytest

from appliance.age.identities import generate_identity
from appliance.age.sealing import seal
from appliance.age.unsealing import Identity
from appliance.commands.main import run
from appliance.errors import BadFile, BadSignature, Incomplete, NoMatch
from appliance.film import boxes
from appliance.film.fragments import FRAGMENT_LIMIT, Fragment, FragmentSplitter, Init
from appliance.film.index import IndexBuilder, Run, SegmentIndex, rebuild_index
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
    read_manifest,
    segment_name,
)
from appliance.film.recording import differences, open_recording, write_film
from appliance.media.cutting import cut
from appliance.records.files import from_json, to_json
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
            segment.builder.padded(segment.size)
    return found


def joined(segments: Iterable[Segment]) -> JoinedFilm:
    return JoinedFilm((Part(segment.builder.build()), lambda s=segment: s) for segment in segments)


@pytest.fixture(scope="module")
def stream() -> bytes:
    return films.film(100, sound=tone)


@pytest.fixture(scope="module")
def segments(stream: bytes) -> list[Segment]:
    return segments_of(*split(stream))


def test_a_stream_comes_apart_the_same_whatever_its_pieces(stream: bytes) -> None:
    whole = split(stream)
    assert whole[0].data + b"".join(f.data for f in whole[1]) == stream
    dice = random.Random(1)
    assert split(stream, (dice.randint(1, 900) for _ in range(2000))) == whole
    assert split(stream[:3000] + stream[3000:], [1] * 3000) == whole


def test_fragments_are_short_and_begin_at_each_key_frame(stream: bytes) -> None:
    init, fragments = split(stream)
    assert max(fragment.seconds for fragment in fragments) <= Fraction(1, 4)
    keys = [
        run for f in fragments for run in f.samples if run.track == init.picture.id and run.keys
    ]
    assert [run.keys for run in keys] == [(0,)] * 4, "a key frame is first in its fragment"
    assert [run.time for run in keys] == [0, 90_000, 180_000, 270_000]
    assert sum(f.frames for f in fragments) == 100
    assert sum(f.seconds for f in fragments) == Fraction(100, 30)
    assert all(run.time == 0 for run in fragments[0].samples)


def test_a_stream_that_ends_within_a_fragment_says_so(stream: bytes) -> None:
    splitter = FragmentSplitter()
    splitter.feed(stream[:-1])
    with pytest.raises(Incomplete):
        splitter.finish()


def test_a_fragment_that_never_ends_does_not_fill_the_memory(stream: bytes) -> None:
    init, fragments = split(stream)
    splitter = FragmentSplitter()
    splitter.feed(init.data)
    moof = fragments[0].data[: boxes.header(fragments[0].data)[2]]  # type: ignore[index]
    endless = moof + (FRAGMENT_LIMIT + 1).to_bytes(4, "big") + b"mdat"
    with pytest.raises(BadFile):
        splitter.feed(endless)


def test_nothing_else_is_taken_for_a_film(stream: bytes) -> None:
    init, fragments = split(stream)
    for strange in (
        b"\0\0\0\x08free" + stream,
        stream[len(init.data) :],
        init.data + init.data,
        init.data + fragments[0].data[:-8] + b"\0\0\0\x08free" * 2,
        init.data + b"\0\0\0\x07moof",
        bytes(64),
    ):
        with pytest.raises((BadFile, Incomplete)):
            split(strange)


@pytest.mark.parametrize(
    ("count", "size", "offset"),
    [(0xFFFFFFFF, 1, 100), (2, 51, 100), (1, 1, 99), (1, 1, 200), (1, 0, 100), (0, 1, 100)],
)
def test_a_fragment_that_claims_more_than_it_holds_is_refused(
    stream: bytes, count: int, size: int, offset: int
) -> None:
    init, _ = split(stream)

    def moof(count: int, size: int, offset: int) -> bytes:
        tfhd = boxes.make(b"tfhd", struct.pack(">IIII", 0x020018, init.picture.id, 3000, size))
        tfdt = boxes.make(b"tfdt", struct.pack(">II", 0, 0))
        trun = boxes.make(b"trun", struct.pack(">IIi", 1, count, offset))
        return boxes.make(b"moof", boxes.make(b"traf", tfhd, tfdt, trun))

    (good,) = boxes.fragment(moof(2, 50, 100), 100, 200, init.tracks)
    assert (good.sizes, good.durations) == ((50, 50), (3000, 3000))
    with pytest.raises(BadFile):
        boxes.fragment(moof(count, size, offset), 100, 200, init.tracks)


@pytest.mark.slow
def test_a_stream_with_a_byte_changed_is_read_or_refused_and_nothing_else(stream: bytes) -> None:
    dice = random.Random(2)
    init, fragments = split(stream)
    head = len(init.data) + boxes.header(fragments[0].data)[2]  # type: ignore[index]
    short = init.data + fragments[0].data
    for _ in range(6000):
        altered = bytearray(short)
        altered[dice.randrange(head)] ^= 1 << dice.randrange(8)
        with contextlib.suppress(BadFile, Incomplete):
            joined(segments_of(*split(bytes(altered))))


def test_an_index_made_again_from_the_segment_is_the_one_that_was_written(
    segments: list[Segment],
) -> None:
    for number, segment in enumerate(segments):
        written = segment.builder.build()
        written.check()
        assert rebuild_index(segment, RECORDING, number) == written
        assert from_json(to_json(written), SegmentIndex) == written


def test_an_index_of_a_segment_cut_anywhere_has_its_whole_fragments(
    segments: list[Segment],
) -> None:
    segment = segments[0]
    init = segment.builder.build().init
    frames = []
    for size in range(len(init), segment.size, 97):
        cut = Segment(segment.builder, segment.data[:size])
        index = rebuild_index(cut, RECORDING, 0)
        index.check()
        assert index.size <= size
        frames.append(sum(len(run.sizes) for run in index.tracks[0].runs))
    assert frames == sorted(frames)
    assert (frames[0], frames[-1]) == (0, segment.builder.frames)


def test_an_index_that_contradicts_itself_is_refused(segments: list[Segment]) -> None:
    index = segments[0].builder.build()
    picture = index.tracks[0]
    run = picture.runs[0]
    bad_runs = [
        msgspec.structs.replace(run, offset=index.size - sum(run.sizes) + 1),
        msgspec.structs.replace(run, offset=0),
        msgspec.structs.replace(run, sizes=run.sizes[:-1]),
        msgspec.structs.replace(run, sizes=()),
        msgspec.structs.replace(run, sizes=(0, *run.sizes[1:])),
        msgspec.structs.replace(run, durations=((len(run.sizes), 0),)),
        msgspec.structs.replace(run, durations=()),
        msgspec.structs.replace(run, keys=(len(run.sizes),)),
        msgspec.structs.replace(run, time=-1),
        msgspec.structs.replace(run, shifts=((1, 3),)),
    ]
    for bad in bad_runs:
        track = msgspec.structs.replace(picture, runs=(bad, *picture.runs[1:]))
        with pytest.raises(BadFile):
            msgspec.structs.replace(index, tracks=(track, *index.tracks[1:])).check()
    with pytest.raises(BadFile):
        msgspec.structs.replace(index, tracks=index.tracks[:1]).check()


def test_the_joined_film_has_the_packets_of_the_stream(
    stream: bytes, segments: list[Segment]
) -> None:
    film = joined(segments)
    assert films.packets(film.open()) == films.packets(stream)
    with av.open(film.open(), "r") as opened:
        assert [films.number_in(frame) for frame in opened.decode(video=0)] == list(range(100))
    assert film.seconds == Fraction(100, 30)
    assert [film.frames.time(n) for n in (0, 1, 99)] == [Fraction(n, 30) for n in (0, 1, 99)]
    assert list(film.frames.key_ticks) == [0, 90_000, 180_000, 270_000]
    head = film.read_at(0, film.size - sum(segment.size for segment in segments))
    keys = head.index(b"stss")
    assert struct.unpack_from(">5I", head, keys + 8) == (4, 1, 31, 61, 91), "players seek to these"


def test_a_joined_film_of_somebody_elses_pictures_keeps_their_order() -> None:
    stream = films.film(90, encoder={**films.LIKE_OTHERS, "x264-params": "open-gop=0"})
    film = joined(segments_of(*split(stream)))
    assert [p[1:] for p in films.packets(film.open())] == [p[1:] for p in films.packets(stream)]
    with av.open(film.open(), "r") as opened:
        shown = [(films.number_in(f), f.pts) for f in opened.decode(video=0)]
    assert [number for number, _ in shown] == list(range(90))
    assert list(film.frames.ticks) == [pts for _, pts in shown]


def test_any_bytes_of_the_joined_film_are_those_of_the_whole(segments: list[Segment]) -> None:
    film = joined(segments)
    whole = film.open().read()
    assert len(whole) == film.size
    dice = random.Random(3)
    borders = [len(whole) - sum(s.size for s in segments[n:]) for n in range(len(segments))]
    places = [border + near for border in borders for near in (-1, 0, 1)]
    for offset in [*places, 0, film.size - 1, film.size, film.size + 9] + [
        dice.randrange(film.size) for _ in range(300)
    ]:
        for length in (0, 1, 2, 1000, dice.randrange(film.size)):
            assert film.read_at(offset, length) == whole[offset : offset + length]


def test_the_frame_seen_at_a_time_is_the_one_that_appeared_last(segments: list[Segment]) -> None:
    frames = joined(segments).frames
    for number in (0, 1, 50, 99):
        at = frames.time(number)
        assert frames.at(at) == number
        assert frames.at(at + Fraction(1, 31)) == number
    assert frames.at(-1.0) == 0
    assert frames.at(99.0) == 99


def test_a_missing_segment_leaves_every_other_picture_at_its_time(
    stream: bytes, segments: list[Segment]
) -> None:
    for gone, without in ((1, range(30, 60)), (0, range(30)), (3, range(90, 100))):
        film = joined(segment for number, segment in enumerate(segments) if number != gone)
        with av.open(film.open(), "r") as opened:
            seen = [(films.number_in(f), f.time) for f in opened.decode(video=0)]
        assert [number for number, _ in seen] == [n for n in range(100) if n not in without]
        assert all(time == pytest.approx(number / 30) for number, time in seen)
        # Only the last packet before the gap is longer.
        kept = {(kind, dts, data) for kind, _, dts, _, data, _ in films.packets(film.open())}
        assert kept < {(kind, dts, data) for kind, _, dts, _, data, _ in films.packets(stream)}


def test_segments_of_another_film_or_out_of_order_are_not_joined(segments: list[Segment]) -> None:
    other = segments_of(*split(films.film(31)))
    with pytest.raises(BadFile):
        joined([segments[0], other[1]])
    with pytest.raises(BadFile):
        joined([segments[1], segments[0]])
    with pytest.raises(BadFile):
        joined([segments[0], segments[0]])
    with pytest.raises(BadFile):
        joined([])


def test_a_segment_shorter_than_its_index_is_refused(segments: list[Segment]) -> None:
    short = Segment(segments[1].builder, segments[1].data[:-1])
    film = joined([segments[0], short])
    assert film.read_at(film.size - 9, 8)
    with pytest.raises(BadFile, match="shorter than its index"):
        film.read_at(film.size - 9, 9)


def test_a_joined_film_keeps_three_segments_open_and_closes_them(segments: list[Segment]) -> None:
    class Watched(Segment):
        closed = False

        def close(self) -> None:
            self.closed = True

    opened: list[Watched] = []

    def opener(segment: Segment) -> Watched:
        opened.append(Watched(segment.builder, segment.data))
        return opened[-1]

    film = JoinedFilm((Part(s.builder.build()), lambda s=s: opener(s)) for s in segments)
    assert not opened, "opening a film opens none of its segments"
    film.open().read()
    assert [watched.closed for watched in opened] == [True, False, False, False]
    film.close()
    assert all(watched.closed for watched in opened)
    with pytest.raises(ValueError, match="closed"):
        film.read_at(film.size - 10, 10)


@pytest.mark.interop
def test_ffprobe_reads_the_joined_film_as_it_reads_the_stream(
    stream: bytes, segments: list[Segment], tmp_path: Path
) -> None:
    def probed(data: bytes) -> list[str]:
        path = tmp_path / "film.mp4"
        path.write_bytes(data)
        fields = "packet=stream_index,pts,dts,duration,size,flags,data_hash"
        command = ["ffprobe", "-v", "error", "-show_packets", "-show_data_hash", "md5"]
        done = subprocess.run(
            [*command, "-show_entries", fields, "-of", "csv", str(path)],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert not done.stderr
        return sorted(done.stdout.splitlines())

    assert probed(joined(segments).open().read()) == probed(stream)


# --- Manifests ----------------------------------------------------------------------------------

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


def test_a_signed_manifest_reads_back_with_who_signed_it() -> None:
    note = SIGNER.sign(manifest_lines(STARTED, closed(0), closed(1), ended(2)))
    manifest = parse_manifest(note, [SIGNER.verifier])
    assert manifest.started == STARTED
    assert manifest.segments == (closed(0), closed(1))
    assert manifest.ended == ended(2)
    assert manifest.signed_by == SIGNER.verifier
    assert parse_manifest(note).signed_by is None, "who was not asked about vouches for nothing"


def test_a_manifest_cut_at_any_byte_is_unfinished_and_never_more_than_was_written() -> None:
    lines = [manifest_lines(f) for f in (STARTED, closed(0), closed(1), ended(2))]
    note = SIGNER.sign("".join(lines))
    for length in range(len(lines[0]), len(note)):
        manifest = parse_manifest(note[:length], [SIGNER.verifier])
        whole = note[:length].count("\n")
        assert manifest.signed_by is None
        assert len(manifest.segments) == min(whole - 1, 2)
        assert (manifest.ended is not None) == (whole >= 4)
    for length in range(len(lines[0])):
        with pytest.raises(BadFile):
            parse_manifest(note[:length])


@pytest.mark.parametrize(
    "facts",
    [
        (closed(0), STARTED, ended(1)),
        (STARTED, STARTED),
        (STARTED, closed(1)),
        (STARTED, closed(0), closed(0)),
        (STARTED, closed(0), closed(2)),
        (STARTED, closed(1), closed(0)),
        (STARTED, ended(0), closed(0)),
        (STARTED, closed(0), ended(1), ended(1)),
        (STARTED, closed(0), ended(2)),
        (STARTED, closed(0, frames=29), ended(1)),
        (STARTED, ended(0, tail=Tail(name="0001.mp4.age", size=1, sha256="0" * 64))),
        (STARTED, msgspec.structs.replace(closed(0), name="../../keys/x")),
        (STARTED, msgspec.structs.replace(closed(0), index="0000.mp4.age")),
        (closed(0),),
        (),
    ],
)
def test_a_manifest_that_we_do_not_write_is_refused(
    facts: tuple[FilmStarted | SegmentClosed | FilmEnded, ...],
) -> None:
    with pytest.raises(BadFile):
        parse_manifest(manifest_lines(*facts))


def test_a_manifest_altered_by_one_letter_is_refused() -> None:
    note = SIGNER.sign(manifest_lines(STARTED, closed(0), ended(1)))
    for place in range(0, note.rindex("\n\n"), 7):
        letter = "0" if note[place] != "0" else "1"
        with pytest.raises((BadFile, BadSignature)):
            parse_manifest(note[:place] + letter + note[place + 1 :], [SIGNER.verifier])
    with pytest.raises(BadSignature):
        parse_manifest(note, [Signer.generate("kit-1").verifier])


def test_a_manifest_that_is_signed_says_how_its_film_ended() -> None:
    with pytest.raises(BadFile):
        parse_manifest(SIGNER.sign(manifest_lines(STARTED, closed(0))), [SIGNER.verifier])


# --- Recordings ---------------------------------------------------------------------------------


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


def end_of(
    lines: list[SegmentClosed], why: EndReason = EndReason.BUTTON, tail: Tail | None = None
) -> FilmEnded:
    frames = sum(line.frames for line in lines)
    return msgspec.structs.replace(ended(len(lines), why, tail), frames=frames)


@pytest.fixture
def recording(segments: list[Segment], tmp_path: Path) -> Recording:
    return write_recording(tmp_path / RECORDING, segments, generate_identity())


def altered(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def test_a_whole_recording_opens_complete_and_writes_a_film(
    recording: Recording, stream: bytes
) -> None:
    opened = open_recording(recording.directory, [recording.identity], [SIGNER.verifier])
    assert opened.complete
    assert opened.manifest.signed_by == SIGNER.verifier
    assert opened.verify() == []
    out = io.BytesIO()
    with contextlib.closing(opened):
        write_film(opened, out)
    assert films.packets(out.getvalue()) == films.packets(stream)


@pytest.mark.parametrize("check", [False, True])
def test_a_segment_that_is_not_there_is_said_and_the_rest_plays(
    recording: Recording, check: bool
) -> None:
    (recording.directory / segment_name(1)).unlink()
    shown, missing = recording.numbers(check=check)
    assert shown == [*range(30), *range(60, 100)]
    assert missing == ["From 0:01.0 to 0:02.0: 0001.mp4.age is not here."]


def test_a_segment_that_is_too_short_is_said_and_the_rest_plays(recording: Recording) -> None:
    path = recording.directory / segment_name(3)
    path.write_bytes(path.read_bytes()[:-1])
    shown, missing = recording.numbers()
    assert shown == list(range(90))
    assert len(missing) == 1
    assert missing[0].startswith("From 0:03.0 to 0:03.3: 0003.mp4.age has ")


def test_an_altered_segment_is_never_shown_and_left_out_when_looked_for(
    recording: Recording,
) -> None:
    altered(recording.directory / segment_name(2))
    with pytest.raises(BadFile, match=r"0002\.mp4\.age is not the file that the kit signed"):
        recording.numbers()
    shown, missing = recording.numbers(check=True)
    assert shown == [*range(60), *range(90, 100)]
    assert len(missing) == 1


def swapped(film: Recording, _: Recording) -> None:
    first, second = (film.directory / segment_name(n) for n in (1, 2))
    kept = first.read_bytes()
    first.write_bytes(second.read_bytes())
    second.write_bytes(kept)


def renamed(film: Recording, _: Recording) -> None:
    (film.directory / segment_name(1)).rename(film.directory / segment_name(7))


def repeated(film: Recording, _: Recording) -> None:
    shutil.copy(film.directory / segment_name(0), film.directory / segment_name(1))


def cut_short(film: Recording, _: Recording) -> None:
    path = film.directory / segment_name(1)
    path.write_bytes(path.read_bytes()[:-1])


def cut_and_filled_up(film: Recording, _: Recording) -> None:
    path = film.directory / segment_name(1)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2] + bytes(-(-len(data) // 2)))


def moved_from_another(film: Recording, other: Recording) -> None:
    for name in (segment_name(1), index_name(1)):
        shutil.copy(other.directory / name, film.directory / name)


@pytest.mark.parametrize(
    ("harm", "bad", "whose"),
    [
        (swapped, [1, 2], "its own"),
        (renamed, [1], "its own"),
        (repeated, [1], "its own"),
        (cut_short, [1], "its own"),
        (cut_and_filled_up, [1], "its own"),
        (moved_from_another, [1], "another film of the case"),
        (moved_from_another, [1], "a film of another case"),
    ],
)
def test_a_segment_that_is_not_the_one_signed_is_refused_by_name_and_all_others_play(
    recording: Recording,
    segments: list[Segment],
    tmp_path: Path,
    harm: Callable[[Recording, Recording], None],
    bad: list[int],
    whose: str,
) -> None:
    key = generate_identity() if whose == "a film of another case" else recording.identity
    (tmp_path / "other").mkdir()
    harm(recording, write_recording(tmp_path / "other" / RECORDING, segments, key))
    shown, missing = recording.numbers(check=True)
    assert shown == [number for number in range(100) if number // 30 not in bad]
    named = [next(n for n in range(4) if segment_name(n) in sentence) for sentence in missing]
    assert named == bad
    verified = open_recording(recording.directory, [recording.identity], check=True).verify()
    for number in bad:
        assert any(sentence.startswith(segment_name(number)) for sentence in verified)
    # Whoever has not looked first is shown nothing false either.
    with contextlib.suppress(BadFile):
        assert recording.numbers()[0] == shown


@pytest.mark.parametrize("harm", [Path.unlink, altered])
def test_a_lost_or_altered_index_is_made_again(
    recording: Recording, harm: Callable[[Path], None]
) -> None:
    harm(recording.directory / index_name(1))
    assert recording.numbers() == (list(range(100)), [])
    opened = open_recording(recording.directory, [recording.identity])
    assert [sentence.split()[0] for sentence in opened.verify()] == [index_name(1)]


def test_verifying_names_what_is_missing_altered_and_strange_without_a_key(
    recording: Recording,
) -> None:
    (recording.directory / segment_name(0)).unlink()
    altered(recording.directory / segment_name(1))
    (recording.directory / segment_name(7)).write_bytes(b"")
    manifest = read_manifest(recording.directory, [SIGNER.verifier])
    assert differences(recording.directory, manifest) == [
        "0000.mp4.age is not here.",
        "0001.mp4.age is not the file that the kit signed: it was altered or damaged.",
        "0007.mp4.age does not belong to this recording.",
    ]


def cut_by_the_power(recording: Recording, size: int | None) -> bytes:
    """As if the plug was pulled in the last segment, `size` bytes of it on the card."""
    *lines, _ = recording.lines()
    tail = recording.directory / segment_name(3)
    data = tail.read_bytes()[:size]
    tail.write_bytes(data)
    (recording.directory / index_name(3)).unlink()
    (recording.directory / "manifest").write_text(manifest_lines(STARTED, *lines))
    return data


def test_a_film_cut_by_the_power_plays_up_to_its_last_whole_fragment(recording: Recording) -> None:
    whole = (recording.directory / segment_name(3)).read_bytes()
    cut_by_the_power(recording, None)
    shown, missing = recording.numbers()
    assert shown == list(range(100))
    assert missing == [
        "From 0:03.3 on: this film has no end yet: it is being made, or the kit has not "
        "recovered it."
    ]
    for size in (0, 1, 1500, len(whole) - 1):
        (recording.directory / segment_name(3)).write_bytes(whole[:size])
        assert recording.numbers()[0][:90] == list(range(90))


def test_a_tail_of_many_chunks_plays_up_to_the_cut(tmp_path: Path) -> None:
    # Key frames alone, and noisy enough for several sealed chunks in one segment.
    stream = films.film(60, encoder={**films.LIKE_OURS, "g": "60", "qp": "1"}, noisy=True)
    identity = generate_identity(x25519=True)
    recording = write_recording(tmp_path / RECORDING, segments_of(*split(stream)), identity)
    sealed = (recording.directory / segment_name(0)).read_bytes()
    assert len(sealed) > 5 << 16
    (recording.directory / index_name(0)).unlink()
    (recording.directory / "manifest").write_text(manifest_lines(STARTED))
    counts = []
    for size in range(3 << 16, len(sealed), 1 << 15):
        (recording.directory / segment_name(0)).write_bytes(sealed[:size])
        shown, _ = recording.numbers()
        assert shown == list(range(len(shown)))
        counts.append(len(shown))
    assert counts == sorted(counts)
    assert counts[0] < counts[-1]


def test_a_recovered_film_says_that_the_power_was_cut(recording: Recording) -> None:
    *lines, _ = recording.lines()
    data = cut_by_the_power(recording, None)
    tail = Tail(name=segment_name(3), size=len(data), sha256=hashlib.sha256(data).hexdigest())
    recording.finish(STARTED, *lines, end_of(lines, EndReason.POWER, tail))
    shown, missing = recording.numbers()
    assert shown == list(range(100))
    assert [line.partition(":")[0] for line in missing] == ["From 0"]
    assert "the power was cut" in missing[0]
    assert open_recording(recording.directory, [recording.identity]).verify() == []
    altered(recording.directory / segment_name(3))
    assert recording.numbers()[0] == list(range(90)), "a tail that was altered is not shown"


def test_a_tail_that_somebody_put_there_does_not_spoil_the_film(recording: Recording) -> None:
    cut_by_the_power(recording, None)
    tail = recording.directory / segment_name(3)
    strangers = [
        b"",
        b"\0" * 5000,
        seal(b"\0" * 5000, [generate_identity().recipient]),
        seal(b"\0" * 5000, [recording.identity.recipient]),
        (recording.directory / segment_name(0)).read_bytes(),
        seal(films.film(31), [recording.identity.recipient]),
    ]
    for strange in strangers:
        tail.write_bytes(strange)
        assert recording.numbers()[0] == list(range(90))


def test_another_key_opens_nothing(recording: Recording) -> None:
    with pytest.raises(NoMatch):
        open_recording(recording.directory, [generate_identity()])


def test_a_recording_of_which_nothing_is_left_says_so(recording: Recording) -> None:
    for number in range(4):
        (recording.directory / segment_name(number)).unlink()
    with pytest.raises(Incomplete, match="Nothing of this film can be played"):
        open_recording(recording.directory, [recording.identity])
    (recording.directory / "manifest").unlink()
    with pytest.raises(BadFile, match="is not a recording"):
        open_recording(recording.directory, [recording.identity])


def test_a_film_of_45_minutes_opens_by_its_indexes_alone(
    segments: list[Segment], tmp_path: Path
) -> None:
    """Ninety segments of thirty seconds: tables as large as life, and not one picture there."""
    identity = generate_identity()
    one = segments[0].builder.build()
    sizes = {"video": 900, "sound": 1406}
    lines = []
    found = []

    def unopened() -> Segment:
        raise AssertionError("opening a film reads no pictures")

    for number in range(90):
        tracks = []
        at = len(one.init)
        for track in one.tracks:
            length = 3000 if track.kind == "video" else 1024
            count = sizes[track.kind]
            run = Run(at, number * count * length, (999,) * count, ((count, length),), (0,))
            tracks.append(msgspec.structs.replace(track, runs=(run,)))
            at += 999 * count
        found.append(msgspec.structs.replace(one, number=number, size=at, tracks=tuple(tracks)))
        lines.append(len(seal(to_json(found[-1]), [identity.recipient])))
    assert sum(lines) < 2 << 20
    film = JoinedFilm((Part(index), unopened) for index in found)
    assert film.seconds == 45 * 60
    assert len(film.frames) == 81_000
    head = film.size - sum(index.size for index in found)
    assert film.read_at(0, head)[4:8] == b"ftyp"
    with pytest.raises(AssertionError, match="no pictures"):
        film.read_at(head, 1)


# --- At the service, and on a kit ---------------------------------------------------------------


@dataclass(frozen=True)
class Place:
    """A recording where it lies, its case's key beside it, and the key file of somebody who may."""

    recording: Recording
    case: Path
    key: Path
    out: Path

    def open(self, where: str | None = None) -> int:
        where = where or str(self.recording.directory)
        return run(["open", where, "-i", str(self.key), "-o", str(self.out)])


@pytest.fixture(params=["on a kit", "in a store"])
def place(request: pytest.FixtureRequest, segments: list[Segment], tmp_path: Path) -> Place:
    root = tmp_path / "with a space"
    case = root / "cases" / STARTED.case
    recordings = (case if request.param == "in a store" else root) / "recordings"
    for directory in (case, recordings):
        directory.mkdir(parents=True, exist_ok=True)
    identity, service = generate_identity(), generate_identity()
    recording = write_recording(recordings / RECORDING, segments, identity)
    secret = f"{identity.secret_text()}\n".encode()
    stranger = seal(b"of another practitioner", [generate_identity().recipient])
    (case / "identity-0001.age").write_bytes(seal(secret, [service.recipient]))
    (case / "identity-0002.age").write_bytes(stranger)
    key = tmp_path / "service.key"
    key.write_text(service.secret_text() + "\n")
    return Place(recording, case, key, tmp_path / "film.mp4")


def test_attune_open_gives_back_the_film(place: Place, stream: bytes) -> None:
    assert place.open() == 0
    assert films.packets(place.out.read_bytes()) == films.packets(stream)
    assert place.out.stat().st_mode & 0o077 == 0, "a film in clear is not for other users"
    place.out.unlink()
    assert place.open(place.recording.directory.as_uri()) == 0
    assert place.out.exists()


def test_attune_open_of_what_is_left_writes_it_and_says_what_is_missing(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    altered(place.recording.directory / segment_name(1))
    assert place.open() == 3
    assert "From 0:01.0 to 0:02.0: 0001.mp4.age is not the file" in capsys.readouterr().err
    with av.open(place.out, "r") as film:
        shown = [films.number_in(frame) for frame in film.decode(video=0)]
    assert shown == [*range(30), *range(60, 100)]


def test_attune_open_of_a_withdrawn_case_writes_nothing(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("identity-0001.age", "identity-0002.age"):
        (place.case / name).unlink()
    assert place.open() == 1
    assert "withdrawn" in capsys.readouterr().err
    assert not place.out.exists()


def test_attune_open_with_a_strangers_key_writes_nothing(place: Place) -> None:
    place.key.write_text(generate_identity().secret_text() + "\n")
    assert place.open() == 1
    assert place.open("https://example.org/film") == 1
    assert place.open(str(place.recording.directory.parent)) == 1
    assert run(["open", str(place.recording.directory), "-o", str(place.out)]) == 2
    assert not place.out.exists()


def test_a_clip_is_cut_straight_out_of_the_seal(recording: Recording) -> None:
    out = io.BytesIO()
    with contextlib.closing(open_recording(recording.directory, [recording.identity])) as opened:
        done = cut(opened.film.open(), Fraction(28, 30), Fraction(65, 30), out)
    assert done.sound
    with av.open(io.BytesIO(out.getvalue()), "r") as film:
        assert [films.number_in(frame) for frame in film.decode(video=0)] == list(range(28, 65))


def test_a_clip_over_a_missing_segment_has_only_what_is_there(recording: Recording) -> None:
    (recording.directory / segment_name(1)).unlink()
    out = io.BytesIO()
    with contextlib.closing(open_recording(recording.directory, [recording.identity])) as opened:
        cut(opened.film.open(), Fraction(20, 30), Fraction(70, 30), out)
    with av.open(io.BytesIO(out.getvalue()), "r") as film:
        shown = [(films.number_in(f), f.pts * f.time_base) for f in film.decode(video=0)]
    expected = [*range(20, 30), *range(60, 70)]
    assert shown == [(number, Fraction(number - 20, 30)) for number in expected]
