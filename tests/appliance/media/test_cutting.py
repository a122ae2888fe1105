"""Clips, exact to the frame, of films like ours and of somebody else's."""

import contextlib
import io
import json
import math
import random
import struct
import subprocess
from array import array
from fractions import Fraction
from pathlib import Path

import av
import pytest

from appliance.commands.main import run
from appliance.errors import BadFile, BadInput, KitError
from appliance.film.boxes import boxes
from appliance.media import avc
from appliance.media.cutting import cut
from appliance.media.wire import Cut
from tests.support import films

FRAMES = 300


@pytest.fixture(scope="module", params=films.SOURCES)
def source(request: pytest.FixtureRequest) -> bytes:
    return films.film(FRAMES, **films.SOURCES[request.param])


@pytest.fixture(scope="module")
def ours() -> bytes:
    return films.film(FRAMES, **films.SOURCES["ours"])


def clip_of(film: bytes, start: Fraction | float, end: Fraction | float) -> tuple[bytes, Cut]:
    out = io.BytesIO()
    done = cut(io.BytesIO(film), start, end, out)
    return out.getvalue(), done


def shown(film: bytes, *, all_frames: bool = False) -> list[tuple[int, Fraction]]:
    """Each frame's number and time; with `all_frames` those that an edit list would hide, too."""
    options = {"ignore_editlist": "1"} if all_frames else {}
    with av.open(io.BytesIO(film), "r", options=options) as opened:
        return [(films.number_in(f), f.pts * f.time_base) for f in opened.decode(video=0)]


def heard(film: bytes, *, all_samples: bool = False) -> list[float]:
    options = {"ignore_editlist": "1"} if all_samples else {}
    samples = array("f")
    with av.open(io.BytesIO(film), "r", options=options) as opened:
        for frame in opened.decode(audio=0):
            samples.frombytes(bytes(frame.planes[0])[: frame.samples * 4])
    return samples.tolist()


@pytest.mark.slow
def test_random_cuts_have_exactly_the_frames_between_the_marks(source: bytes) -> None:
    times = films.frame_times(source)
    dice = random.Random(4)
    for _ in range(12):
        first, last = sorted(dice.sample(range(FRAMES), 2))
        clip, done = clip_of(source, times[first], times[last])
        expected = [(n, times[n] - times[first]) for n in range(first, last)]
        assert shown(clip) == expected
        assert [n for n, _ in shown(clip, all_frames=True)] == list(range(first, last))
        assert done.frames == last - first
        assert (done.first, done.last) == (times[first], times[last - 1])
        assert done.end == times[last]


@pytest.mark.slow
def test_two_hundred_random_cuts_of_our_own_film_are_exact(ours: bytes) -> None:
    dice = random.Random(5)
    for _ in range(200):
        first, last = sorted(dice.sample(range(FRAMES + 1), 2))
        last = min(last, first + 40)
        clip, _ = clip_of(ours, Fraction(first, 30), Fraction(last, 30))
        assert [number for number, _ in shown(clip, all_frames=True)] == list(range(first, last))


def test_a_mark_between_two_frames_begins_with_the_one_that_stands_there_and_ends_at_the_mark(
    ours: bytes,
) -> None:
    start, end = Fraction(301, 90), Fraction(359, 90)
    clip, done = clip_of(ours, start, end)
    # 3.344 s is past the start of frame 100; 3.989 s is before that of frame 120.
    later = [(number, Fraction(number, 30) - start) for number in range(101, 120)]
    assert shown(clip, all_frames=True) == [(100, 0), *later]
    assert (done.first, done.end) == (start, end)
    # What stands at the mark is from before it: it is encoded again, on its own.
    assert not {*picture(clip)[:16]} & {*picture(ours)}
    assert done.copied == 0


def test_a_mark_that_was_rounded_down_to_a_thousandth_means_the_picture_behind_it(
    ours: bytes,
) -> None:
    for number in (1, 20, 100, 149):
        start, end = (Fraction(1000 * n // 30, 1000) for n in (number, number + 5))
        clip, done = clip_of(ours, start, end)
        assert [n for n, _ in shown(clip)] == list(range(number, number + 5))
        assert (done.first, done.end) == (Fraction(number, 30), Fraction(number + 5, 30))


def test_a_float_mark_means_the_frame_it_was_read_from(ours: bytes) -> None:
    for number in range(0, FRAMES - 3, 7):
        clip, _ = clip_of(ours, number / 30, (number + 2) / 30)
        assert [n for n, _ in shown(clip)] == [number, number + 1]


@pytest.mark.parametrize("kind", ["ours", "with B-frames and open groups", "Matroska"])
def test_the_sound_stays_with_the_picture(kind: str) -> None:
    film = films.film(FRAMES, **films.SOURCES[kind])
    for start in (Fraction(7, 30), Fraction(2), Fraction(59, 10)):
        clip, done = clip_of(film, start, start + 2)
        samples = heard(clip)
        loud = [n for n, sample in enumerate(samples) if abs(sample) > 0.2]
        # The beep that begins with the first full second of the clip, after some silence.
        begins = (start // 1 + 1 - done.first) * films.RATE
        onset = next(n for n in loud if n > begins - 4000)
        assert abs(onset - begins) < (100 if kind != "Matroska" else 1024)
        assert abs(len(samples) - 2 * films.RATE) <= 1024


def test_no_sound_from_outside_the_marks_is_anywhere_in_the_clip() -> None:
    def quiet_within(sample: int) -> float:
        return 0.0 if 2 * films.RATE <= sample < 4 * films.RATE else films.beep(sample % 4800)

    film = films.film(200, sound=quiet_within)
    # The film's own encoder smears a loud neighbour over its block: leave one block at each side.
    clip, done = clip_of(film, Fraction(62, 30), Fraction(118, 30))
    assert done.sound
    assert max(map(abs, heard(clip, all_samples=True))) < 0.001
    loud, _ = clip_of(film, Fraction(58, 30), Fraction(118, 30))
    assert max(map(abs, heard(loud, all_samples=True))) > 0.3


def test_the_sound_is_whole_from_its_first_sample() -> None:
    film = films.film(520, sound=lambda sample: 0.5 * math.sin(sample * math.tau / 48))
    # Where a key frame and a block of sound begin together: what that needs has to be asked for.
    samples = heard(clip_of(film, 16, 17)[0])
    for first in (0, 256, 512, 2048):
        assert max(samples[first : first + 256]) == pytest.approx(0.5, abs=0.06)


def test_what_is_encoded_again_has_key_frames_of_its_own_and_not_the_source_s() -> None:
    film = films.film(150, codec="libvpx", encoder={"g": "1"}, container="matroska", options={})
    clip, _ = clip_of(film, Fraction(1, 3), Fraction(4))
    with av.open(io.BytesIO(clip), "r") as opened:
        keys = [p.is_keyframe for p in opened.demux(video=0) if p.size]
    assert keys[0]
    assert sum(keys) < len(keys) / 5


def test_a_clip_is_an_ordinary_mp4_that_says_nothing_but_picture_and_sound(ours: bytes) -> None:
    clip, _ = clip_of(ours, 1, 3)
    assert [box.name for box in boxes(clip)] == [b"ftyp", b"moov", b"mdat"]
    for word in (b"Lav", b"lav", b"x264", b"FFmpeg", b"encoder", b"\xa9too"):
        assert word not in clip
    with av.open(io.BytesIO(clip), "r") as opened:
        assert {*opened.metadata} <= {"major_brand", "minor_version", "compatible_brands"}
        assert opened.streams.video[0].codec_context.pix_fmt == "yuv420p"
        assert [s.codec_context.name for s in opened.streams] == ["h264", "aac"]
        assert all(p.pts == p.dts for p in opened.demux(video=0) if p.size)
    mvhd = clip.index(b"mvhd")
    assert struct.unpack_from(">III", clip, mvhd + 4)[1:] == (0, 0), "no dates"


def test_a_film_without_sound_gives_a_clip_without_sound() -> None:
    clip, done = clip_of(films.film(60), 0.5, 1)
    assert not done.sound
    with av.open(io.BytesIO(clip), "r") as opened:
        assert not opened.streams.audio


def test_cutting_near_the_end_of_a_long_film_does_not_read_its_beginning() -> None:
    encoder = {**films.LIKE_OURS, "qp": "8"}
    film = films.film(600, options={}, container="mp4", encoder=encoder, noisy=True)

    class Counted(io.BytesIO):
        read_bytes = 0

        def read(self, size: int | None = -1, /) -> bytes:
            data = super().read(size)
            self.read_bytes += len(data)
            return data

    counted = Counted(film)
    done = cut(counted, 18, 19, io.BytesIO())
    assert done.frames == 30
    assert counted.read_bytes < len(film) / 8


@pytest.mark.parametrize(
    ("start", "end", "words"),
    [
        (2, 1, "before it begins"),
        (1, 1, "before it begins"),
        (0, 10.1, "The film ends at 10.000 s"),
        (11, 12, "The film ends at 10.000 s"),
        (Fraction(2, 900), Fraction(4, 900), "within one frame"),
        (1, Fraction(901, 900), "within one frame"),
        (-1, 1, "begins at 0"),
    ],
)
def test_marks_that_cannot_be_are_refused_in_words_and_nothing_is_written(
    ours: bytes, start: Fraction | float, end: Fraction | float, words: str
) -> None:
    out = io.BytesIO()
    with pytest.raises(BadInput, match=words):
        cut(io.BytesIO(ours), start, end, out)
    assert not out.getvalue()


def test_marks_at_the_very_ends_give_the_whole_film(ours: bytes) -> None:
    for end in (10, Fraction(10), 10.02):
        clip, done = clip_of(ours, 0, end)
        assert (done.frames, done.end) == (FRAMES, 10)
        assert [number for number, _ in shown(clip)] == list(range(FRAMES))


def test_one_frame_is_a_clip(ours: bytes) -> None:
    clip, done = clip_of(ours, Fraction(77, 30), Fraction(78, 30))
    assert [number for number, _ in shown(clip)] == [77]
    assert done.frames == 1


@pytest.mark.parametrize("data", [b"", b"\0" * 100, b"not a film" * 1000])
def test_what_is_no_film_is_refused(data: bytes) -> None:
    with pytest.raises(BadFile):
        cut(io.BytesIO(data), 0, 1, io.BytesIO())


def test_a_film_of_sound_alone_is_refused() -> None:
    out = io.BytesIO()
    with av.open(out, "w", format="mp4") as made:
        stream = made.add_stream("aac", rate=48000, layout="mono")
        frame = av.AudioFrame("fltp", "mono", 1024)
        frame.planes[0].update(bytes(4096))
        frame.sample_rate, frame.pts = 48000, 0
        made.mux(stream.encode(frame))
        made.mux(stream.encode(None))
    with pytest.raises(BadFile, match="no picture"):
        cut(io.BytesIO(out.getvalue()), 0, 1, io.BytesIO())


def test_an_error_of_the_source_is_not_taken_for_a_bad_film(ours: bytes) -> None:
    class Withdrawn(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            if self.tell() > len(ours) // 2:
                raise KitError("closed meanwhile")
            return super().read(size)

    out = io.BytesIO()
    with pytest.raises(KitError, match="closed meanwhile"):
        cut(Withdrawn(ours), 5, 9, out)
    assert not out.getvalue()


@pytest.mark.interop
def test_ffmpeg_finds_the_frames_and_no_others_in_all_packets_of_a_clip(
    ours: bytes, tmp_path: Path
) -> None:
    path = tmp_path / "clip.mp4"
    path.write_bytes(clip_of(ours, Fraction(37, 30), Fraction(143, 30))[0])
    done = subprocess.run(
        ["ffprobe", "-v", "error", "-ignore_editlist", "1", "-show_packets", "-show_frames",
         "-select_streams", "v", "-of", "json", str(path)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    found = json.loads(done.stdout)["packets_and_frames"]
    packets = [entry for entry in found if entry["type"] == "packet"]
    frames = [entry for entry in found if entry["type"] == "frame"]
    assert len(packets) == len(frames) == 143 - 37
    assert [packet["pts"] for packet in packets] == [3000 * n for n in range(143 - 37)]
    assert packets[0]["flags"].startswith("K")


def test_the_commands_cut_and_still_write_whole_files_or_none(ours: bytes, tmp_path: Path) -> None:
    film, clip, picture = (tmp_path / name for name in ("film.mp4", "clip.mp4", "still.jpg"))
    film.write_bytes(ours)
    assert run(["cut", str(film), "--from", "1.1", "--to", "2.5", "-o", str(clip)]) == 0
    assert [number for number, _ in shown(clip.read_bytes())] == list(range(33, 75))
    assert run(["still", str(film), "--at", "1.1", "-o", str(picture)]) == 0
    assert picture.read_bytes()[:2] == b"\xff\xd8"
    before = clip.read_bytes()
    assert run(["cut", str(film), "--from", "2", "--to", "1", "-o", str(clip)]) == 1
    assert run(["cut", str(film), "--from", "two", "--to", "3", "-o", str(clip)]) == 2
    assert run(["cut", str(tmp_path / "no"), "--from", "1", "--to", "3", "-o", str(clip)]) == 1
    assert clip.read_bytes() == before
    assert {path.name for path in tmp_path.iterdir()} == {"film.mp4", "clip.mp4", "still.jpg"}


# --- What is copied, and what is not ------------------------------------------------------------


def picture(data: bytes) -> list[bytes]:
    """Every packet of the picture, in the order of the file, hidden ones too."""
    with av.open(io.BytesIO(data), "r", options={"ignore_editlist": "1"}) as opened:
        return [bytes(packet) for packet in opened.demux(video=0) if packet.size]


def parameters_of(film: bytes) -> avc.Parameters:
    with av.open(io.BytesIO(film), "r") as opened:
        return avc.Parameters.of_record(opened.streams.video[0].codec_context.extradata)


@pytest.mark.parametrize(
    ("kind", "first", "last", "keys"),
    [
        ("ours", 37, 143, (60, 143)),
        ("ours", 60, 61, (60, 61)),
        ("of a simple encoder", 37, 143, (40, 143)),
        ("with B-frames", 37, 200, (40, 200)),
        ("Matroska", 37, 100, (50, 100)),
    ],
)
def test_what_lies_whole_between_the_marks_is_copied_bit_for_bit(
    kind: str, first: int, last: int, keys: tuple[int, int]
) -> None:
    film = films.film(FRAMES, **films.SOURCES[kind])
    times = films.frame_times(film)
    clip, done = clip_of(film, times[first], times[last])
    assert [n for n, _ in shown(clip, all_frames=True)] == list(range(first, last))
    assert done.copied == keys[1] - keys[0]
    assert picture(clip)[keys[0] - first :] == picture(film)[keys[0] : keys[1]]


def test_pictures_that_need_one_behind_the_mark_are_encoded_again() -> None:
    film = films.film(FRAMES, **films.SOURCES["with B-frames"])
    theirs = set(picture(film))
    parted = 0
    for last in range(50, 60):
        clip, done = clip_of(film, Fraction(1, 3), Fraction(last, 30))
        assert [n for n, _ in shown(clip, all_frames=True)] == list(range(10, last))
        assert len(theirs & set(picture(clip))) == done.copied
        assert 0 < done.copied <= last - 40
        parted += done.copied < last - 40
    assert parted, "no cut went through a group of B-frames"


def test_all_pictures_stand_in_one_description_and_none_brings_its_own(ours: bytes) -> None:
    for film in (ours, films.film(90, **films.SOURCES["of a simple encoder"])):
        clip, done = clip_of(film, Fraction(1, 3), Fraction(5, 2))
        assert 0 < done.copied < done.frames
        described = clip.index(b"stsd")
        assert struct.unpack_from(">I", clip, described + 8) == (1,)
        assert clip[described + 16 : described + 20] == b"avc1"
        before, after = parameters_of(film), parameters_of(clip)
        assert (len(after.sequence), len(after.picture)) == (2, 2)
        assert after.profile == before.profile
        kinds = {unit[0] & 31 for data in picture(clip) for unit in after.units(data)}
        assert kinds <= {1, 5, 6}


def test_a_clip_that_is_all_copied_says_what_its_film_says(ours: bytes) -> None:
    clip, done = clip_of(ours, 2, 4)
    assert done.copied == done.frames == 60
    assert parameters_of(clip) == parameters_of(ours)


def test_not_even_the_first_picture_names_the_encoder(ours: bytes) -> None:
    assert b"x264" in picture(ours)[0]
    for end in (Fraction(1, 30), 2):
        assert b"x264" not in clip_of(ours, 0, end)[0]


def test_a_turned_picture_stays_turned() -> None:
    film = bytearray(films.film(60, **films.PLAIN))
    matrix = struct.pack(">9i", 0, 65536, 0, -65536, 0, 0, 0, 0, 1 << 30)
    upright = film.index(
        struct.pack(">9i", 65536, 0, 0, 0, 65536, 0, 0, 0, 1 << 30), film.index(b"tkhd")
    )
    film[upright : upright + 36] = matrix
    for start in (0, Fraction(1, 3)):
        assert matrix in clip_of(bytes(film), start, Fraction(3, 2))[0]


def test_work_that_is_called_off_leaves_nothing(ours: bytes) -> None:
    class CalledOff(KitError):
        """Somebody locked the page."""

    told: list[float] = []
    cut(io.BytesIO(ours), Fraction(1, 3), 9, io.BytesIO(), told.append)
    assert told == sorted(told)
    assert told[0] < 0.1
    assert told[-1] == 1
    for stop in (0.0, 0.05, 0.5, 0.9):

        def progress(done: float, stop: float = stop) -> None:
            if done >= stop:
                raise CalledOff("no more")

        out = io.BytesIO()
        with pytest.raises(CalledOff):
            cut(io.BytesIO(ours), Fraction(1, 3), 9, out, progress)
        assert not out.getvalue()


def test_a_film_with_broken_bytes_is_cut_or_refused_in_words(ours: bytes) -> None:
    dice = random.Random(3)
    for _ in range(25):
        broken = bytearray(ours[: dice.choice([len(ours), dice.randrange(len(ours))])])
        for _ in range(dice.choice([1, 10, 100])):
            broken[dice.randrange(len(broken))] = dice.randrange(256)
        with contextlib.suppress(BadFile, BadInput):
            cut(io.BytesIO(broken), 1.2, 3, io.BytesIO())


@pytest.mark.interop
def test_frames_that_a_film_hides_stay_hidden(ours: bytes, tmp_path: Path) -> None:
    film, hiding = tmp_path / "film.mp4", tmp_path / "hiding.mp4"
    film.write_bytes(ours)
    command = ["ffmpeg", "-v", "error", "-ss", "1.5", "-i", str(film), "-c", "copy", str(hiding)]
    subprocess.run(command, check=True)
    data = hiding.read_bytes()
    assert shown(data, all_frames=True)[0][0] == 30
    assert shown(data)[0][0] == 45
    clip, _ = clip_of(data, 0, 2)
    assert [n for n, _ in shown(clip, all_frames=True)] == list(range(45, 105))


@pytest.mark.interop
@pytest.mark.parametrize("kind", ["ours", "with B-frames"])
def test_ffmpeg_decodes_the_same_pictures_from_what_was_copied(kind: str, tmp_path: Path) -> None:
    film, path = films.film(FRAMES, **films.SOURCES[kind]), tmp_path / "clip.mp4"
    (tmp_path / "film.mp4").write_bytes(film)
    path.write_bytes(clip_of(film, Fraction(37, 30), Fraction(143, 30))[0])

    def decoded(name: str) -> list[str]:
        done = subprocess.run(
            ["ffmpeg", "-v", "error", "-ignore_editlist", "1", "-i", str(tmp_path / name),
             "-map", "0:v", "-fps_mode", "passthrough", "-f", "framemd5", "-"],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        return [line.split(",")[-1] for line in done.stdout.splitlines() if line[0] != "#"]

    theirs, ours = decoded("film.mp4")[37:143], decoded("clip.mp4")
    assert len(ours) == 106
    same = [a == b for a, b in zip(ours, theirs, strict=True)]
    assert sum(same) >= 80
    assert all(same[23:80]), "from the first key frame on"
