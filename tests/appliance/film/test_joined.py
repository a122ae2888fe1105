"""Segments joined into one film again, and any bytes of it."""

import random
import struct
import subprocess
from fractions import Fraction
from pathlib import Path

import av
import msgspec
import pytest

from appliance.age.identities import generate_identity
from appliance.age.sealing import seal
from appliance.errors import BadFile
from appliance.film.index import Run
from appliance.film.joined import JoinedFilm, Part
from appliance.records.files import to_json
from tests.support import films
from tests.support.segments import Segment, joined, segments_of, split


def test_the_joined_film_has_the_packets_of_the_stream(
    stream: bytes, segments: list[Segment]
) -> None:
    film = joined(segments)
    assert films.packets(film.open()) == films.packets(stream)
    with av.open(film.open(), "r") as opened:
        assert [films.number_in(frame) for frame in opened.decode(video=0)] == list(range(100))
    assert film.seconds == Fraction(100, 30)
    assert [film.frames.time(n) for n in (0, 1, 99)] == [Fraction(n, 30) for n in (0, 1, 99)]
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
