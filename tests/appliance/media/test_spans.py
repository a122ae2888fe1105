"""Clips and stills where the picture stands, begins late or ends early: what is seen and heard
between the marks, told by a decoder that knows nothing of how they were cut."""

import io
import itertools
import json
import operator
import random
import re
import struct
import subprocess
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av
import pytest

from appliance.commands.main import run
from appliance.errors import BadFile, BadInput
from appliance.media.cutting import cut
from appliance.media.footage import opened
from appliance.media.stills import filmstrip, still
from appliance.media.wire import Cut
from tests.support import films, segments
from tests.support.odd_films import LIVE, Heard, made, without_first

_NOISE = array("f")


def rustling(sample: int) -> float:
    """Noise that a coder keeps, of which no part is like another."""
    if not _NOISE:
        dice = random.Random(7)
        steps = [dice.uniform(-0.5, 0.5) for _ in range(14 * films.RATE // 8 + 1)]
        for one, other in itertools.pairwise(steps):
            _NOISE.extend(one + (other - one) * n / 8 for n in range(8))
    return _NOISE[sample]


def at_25(begin: float, end: float) -> list[float]:
    """When the pictures of a camera appear that is on from begin to end."""
    return [begin + n / 25 for n in range(round((end - begin) * 25))]


@dataclass(frozen=True)
class Odd:
    """A film of 12 s, and marks that mean something in it."""

    pictures: Sequence[float]
    marks: Sequence[tuple[float, float]]
    heard: Heard = field(default_factory=lambda: Heard(0, 12, rustling))


ODD: Mapping[str, Odd] = {
    "frozen in the middle": Odd(
        [*at_25(0, 2.52), *at_25(9.52, 12)],
        [(1, 5), (3, 8), (5, 9.64), (2.48, 2.52), (2, 10), (2.502, 2.518), (9.518, 9.522), (0, 11)],
    ),
    "on late": Odd(at_25(6, 12), [(3, 5), (1, 7), (5.5, 6), (0, 6.002), (5.998, 6.3), (8.2, 9)]),
    "off early": Odd(at_25(0, 4), [(1, 3), (2, 7), (5, 9), (3.96, 4), (3.97, 4.1), (7.3, 11.9)]),
    "on late and off early": Odd(at_25(5, 6), [(0.5, 11.5), (1, 2), (5.5, 8), (5.5, 5.7)]),
    "of one picture": Odd([2.0], [(0.5, 1), (1, 3), (3, 4)]),
    "a picture each five seconds": Odd(
        [0, 5, 10], [(1, 4), (4, 6), (4.998, 5.002), (5, 10), (0, 11)]
    ),
    "uneven": Odd(
        [n / 10 + (n * n % 7) / 100 for n in range(115)],
        [(0.3, 1.1), (0.301, 1.099), (2.222, 5.555), (7.001, 7.9)],
    ),
    "its sound begins late and has a gap": Odd(
        [*at_25(0, 2), *at_25(8, 12)], [(1, 3), (2.5, 5.5), (4, 9)], Heard(3, 9, rustling)
    ),
}  # fmt: skip


def clip_of(film: bytes, start: float, end: float) -> tuple[bytes, Cut]:
    out = io.BytesIO()
    done = cut(io.BytesIO(film), start, end, out)
    return out.getvalue(), done


def seen_in(clip: bytes) -> tuple[list[tuple[int, Fraction]], Fraction]:
    """Which picture is seen from when on, and when the last one goes; of every picture in the file,
    whatever an edit list would hide."""
    with av.open(io.BytesIO(clip), "r", options={"ignore_editlist": "1"}) as file:
        track = file.streams.video[0]
        shown = [(films.number_in(one), one.pts * one.time_base) for one in file.decode(track)]
        lasts = track.duration * track.time_base
    first = shown[0][1]
    return [(number, at - first) for number, at in shown], lasts


def samples_of(film: bytes) -> tuple[array, int]:
    """The first channel of all its sound, and the number of its first sample."""
    found, first = array("f"), 0
    with av.open(io.BytesIO(film), "r") as file:
        resampler = av.AudioResampler("fltp", "mono", films.RATE)
        for frame in file.decode(audio=0):
            for part in resampler.resample(frame):
                if not found:
                    first = round(part.pts * part.time_base * films.RATE)
                # Where nothing is, there is silence; containers round times.
                missing = round(part.pts * part.time_base * films.RATE) - first - len(found)
                found.frombytes(bytes(4 * missing if missing > 1000 else 0))
                found.frombytes(bytes(part.planes[0])[: 4 * part.samples])
    return found, first


@dataclass(frozen=True)
class Truth:
    """What a film has, as a plain decoder finds it: when each picture appears, and its sound."""

    numbers: Sequence[int]
    times: Sequence[Fraction]
    sound: array
    origin: int
    """The number of the first sample of it, from the beginning of the film."""

    @classmethod
    def of(cls, film: bytes) -> "Truth":
        with av.open(io.BytesIO(film), "r") as file:
            begin = films.begin(file)
            numbers = [films.number_in(one) for one in file.decode(video=0)]
        sound, first = samples_of(film)
        return cls(numbers, films.frame_times(film)[:-1], sound, first - round(begin * films.RATE))

    def seen(self, start: Fraction, end: Fraction) -> list[tuple[int, Fraction]]:
        """Which picture is seen from when on in a clip, by the plain rule: the last that has
        appeared, or the first if none has."""
        shown = [*zip(self.numbers, self.times, strict=True)]
        before = [number for number, at in shown if at <= start]
        after = [(number, at - start) for number, at in shown if start < at < end]
        if not before:
            # The first stands from the beginning.
            return [(shown[0][0], Fraction(0)), *after[1:]]
        return [(before[-1], Fraction(0)), *after]

    def heard(self, number: int, count: int) -> array:
        """So many samples, silence where there are none."""
        at = number - self.origin
        front, behind = max(-at, 0), max(at + count - len(self.sound), 0)
        part = self.sound[max(at, 0) : max(at + count, 0)]
        return array("f", bytes(4 * min(front, count))) + part + array("f", bytes(4 * behind))


def shift_of(heard: array, at: int, truth: Truth, number: int) -> int:
    """By how many samples the sound at `at` comes later than sample `number` of the film."""
    part, most = heard[at : at + 600], 70
    source = truth.heard(number - most, 600 + 2 * most)

    def alike(shift: int) -> float:
        return sum(map(operator.mul, part, source[most - shift : most - shift + 600]))

    return max(range(-most, most + 1), key=alike)


def check_clip(film: bytes, truth: Truth, start: float, end: float, sharp: int) -> None:
    """Everything of one clip; `sharp`: samples by which its sound may be off."""
    clip, done = clip_of(film, start, end)
    begin, stop = (Fraction(round(one * 1000), 1000) for one in (start, end))
    shown, lasts = seen_in(clip)
    assert shown == truth.seen(begin, stop)
    assert lasts == stop - begin
    assert (done.first, done.end, done.frames) == (begin, stop, len(shown))
    assert done.last == begin + shown[-1][1]
    heard, first = samples_of(clip)
    whole = round((stop - begin) * films.RATE)
    assert first == 0
    # Its last block is full; what of it is played, an edit list says.
    assert 0 <= len(heard) - whole <= 1024
    scale, edited = (
        struct.unpack_from(">I", clip, clip.rindex(name) + at)[0]
        for name, at in ((b"mvhd", 16), (b"elst", 12))
    )
    assert 0 <= Fraction(edited, scale) - (stop - begin) < Fraction(1, films.RATE)
    for at in range(0, whole - 600, max(whole // 9, 600)):
        number = round(begin * films.RATE) + at
        # A coder smears a beginning or an end over a block or two.
        near = truth.heard(number - 2100, 4800)
        loud = [abs(one) > 0.01 for one in near]
        if not any(loud):
            assert max(map(abs, heard[at : at + 600])) < 0.01
        elif any(loud[:100]) and any(loud[-100:]):
            assert abs(shift_of(heard, at, truth, number)) <= sharp


@pytest.fixture(scope="module", params=["mp4", "mov", "matroska", "webm"])
def container(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.mark.slow
@pytest.mark.parametrize("name", ODD)
def test_a_clip_is_what_is_seen_and_heard_between_the_marks(name: str, container: str) -> None:
    odd = ODD[name]
    film = made(odd.pictures, odd.heard, container=container)
    truth = Truth.of(film)
    assert len(truth.times) == len(odd.pictures)
    for start, end in odd.marks:
        # In the others sound is told in thousandths of a second.
        check_clip(film, truth, start, end, 1 if container in ("mp4", "mov") else 60)


@pytest.mark.parametrize("name", ["on late", "off early", "frozen in the middle"])
def test_a_film_goes_from_the_first_to_the_last_of_picture_and_sound(
    name: str, container: str
) -> None:
    odd = ODD[name]
    film = made(odd.pictures, odd.heard, container=container)
    lasts = max(odd.pictures[-1] + 1 / 30, odd.heard.end)
    with opened(io.BytesIO(film)) as footage:
        # A block of sound in which an encoder begins or ends is nothing to hear.
        assert footage.length == pytest.approx(lasts, abs=0.04)
    out = io.BytesIO()
    for outside in (-1, lasts + 1):
        with pytest.raises(BadInput):
            still(io.BytesIO(film), outside, out)
        with pytest.raises(BadInput):
            cut(io.BytesIO(film), outside, outside + 2, out)
    assert not out.getvalue()


@pytest.mark.parametrize("name", ODD)
def test_a_still_is_the_picture_that_stands_there(name: str, container: str) -> None:
    odd = ODD[name]
    film = made(odd.pictures, odd.heard, container=container)
    times = films.frame_times(film)[:-1]
    for at in (0.0, 2.0, 2.7, 5.001, 8.3, 11.5):
        there = [n for n, time in enumerate(times) if time < Fraction(at) + Fraction(1, 1000)]
        out = io.BytesIO()
        appeared = still(io.BytesIO(film), at, out)
        assert appeared == (times[there[-1]] if there else 0)
        with av.open(io.BytesIO(out.getvalue()), "r") as jpeg:
            assert films.number_in(next(jpeg.decode(video=0))) == (there[-1] if there else 0)


def test_a_filmstrip_goes_on_where_the_picture_stands(container: str) -> None:
    for name, last in (("on late", 5.9), ("off early", 3.9)):
        odd = ODD[name]
        film = made(odd.pictures, odd.heard, container=container)
        times = films.frame_times(film)[:-1]
        strip = list(filmstrip(io.BytesIO(film), 12, films.HEIGHT))
        assert len(strip) == 12
        for part, (moment, picture) in enumerate(strip):
            assert moment <= max(part + Fraction(3, 5), times[0])
            assert moment <= last or name == "on late"
            with av.open(io.BytesIO(picture), "r") as jpeg:
                number = films.number_in(next(jpeg.decode(video=0)))
            assert moment == times[number]


# --- Films that do not say how long they are ----------------------------------------------------


@pytest.mark.parametrize("name", ["frozen in the middle", "on late", "off early"])
@pytest.mark.parametrize("live", ["webm", "matroska"])
def test_a_film_that_states_no_length_is_cut_as_any_other(name: str, live: str) -> None:
    odd = ODD[name]
    film = made(odd.pictures, odd.heard, container=live, options=LIVE)
    with av.open(io.BytesIO(film), "r") as file:
        assert not file.duration
    truth = Truth.of(film)
    for start, end in odd.marks:
        check_clip(film, truth, start, end, 60)
    with pytest.raises(BadInput, match="The film ends at 1"):
        clip_of(film, 13, 14)


@pytest.mark.parametrize("lengths", [(4, 7), (7, 4), (4, 4)])
@pytest.mark.parametrize("options", [LIVE, {}])
@pytest.mark.parametrize("kind", ["webm", "matroska"])
def test_of_several_recordings_in_one_file_none_is_taken_for_the_film(
    kind: str, options: dict[str, str], lengths: tuple[int, int]
) -> None:
    film = b"".join(
        made(at_25(0, last), Heard(0, last, rustling), container=kind, options=options)
        for last in lengths
    )
    for ask in (lambda: clip_of(film, 1, 3), lambda: still(io.BytesIO(film), 1, io.BytesIO())):
        with pytest.raises(BadFile, match="several recordings"):
            ask()


@pytest.mark.parametrize(
    ("kind", "options"),
    [("webm", LIVE), ("matroska", LIVE), ("mp4", {"movflags": "frag_keyframe+empty_moov"})],
)
@pytest.mark.parametrize("part", [0.3, 0.6, 0.9])
def test_of_a_torn_film_that_states_no_length_what_there_is_is_cut(
    kind: str, options: dict[str, str], part: float
) -> None:
    whole = made(at_25(0, 12), Heard(0, 12, rustling), container=kind, options=options)
    film = whole[: int(part * len(whole))]
    with av.open(io.BytesIO(whole), "r") as file:
        times = [
            one.pts * one.time_base
            for one in file.demux(video=0)
            if one.size and one.pos is not None and one.pos + one.size <= len(film)
        ]
    there = float(max(times))
    assert 12 * part - 3 < there < 12 * part + 2
    clip, done = clip_of(film, 0.5, there)
    assert [n for n, _ in seen_in(clip)[0]][:-1] == list(range(12, 12 + done.frames - 1))
    assert abs(done.end - Fraction(there)) < Fraction(1, 1000)
    assert abs(len(samples_of(clip)[0]) / films.RATE - (there - 0.5)) < 0.03
    with pytest.raises(BadInput, match="The film ends at"):
        clip_of(film, there + 3, there + 4)


def test_where_a_film_breaks_off_before_it_says_the_rest_is_cut_and_that_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # Its head is in front, and says how long it is.
    fragments = segments.split(films.film(360, sound=rustling))
    whole = segments.joined(segments.segments_of(*fragments)).open().read()
    film, clip = tmp_path / "film.mp4", tmp_path / "clip.mp4"
    film.write_bytes(whole[: len(whole) * 6 // 10])
    words = ["cut", str(film), "-o", str(clip), "--from"]
    assert run([*words, "2", "--to", "5"]) == 0
    assert len(seen_in(clip.read_bytes())[0]) == 90
    assert run([*words, "2", "--to", "11"]) == 3
    told = re.search(r"the film breaks off at (\d+\.\d+) s", capsys.readouterr().err)
    assert told is not None
    shown, lasts = seen_in(clip.read_bytes())
    assert [number for number, _ in shown] == list(range(60, 60 + len(shown)))
    assert float(lasts) == pytest.approx(float(told[1]) - 2, abs=0.001)
    assert 5 < float(told[1]) < 10
    before = clip.read_bytes()
    assert run([*words, "10.5", "--to", "11"]) == 1
    assert f"The film ends at {told[1]} s" in capsys.readouterr().err
    assert clip.read_bytes() == before


def test_a_call_that_was_joined_without_a_key_frame_begins_with_the_first_that_can_be_seen() -> (
    None
):
    film = without_first(made(at_25(0, 6), Heard(0, 6, rustling), container="matroska"), 1)
    clip, done = clip_of(film, 0.5, 3)
    numbers = [number for number, _ in seen_in(clip)[0]]
    # A key frame each thirty pictures.
    assert numbers[0] == 30
    assert numbers == list(range(30, 30 + done.frames))
    assert abs(len(samples_of(clip)[0]) / films.RATE - 2.5) < 0.03


def test_a_film_that_begins_at_another_time_than_zero_is_cut_from_its_beginning() -> None:
    film = made([1000 + at for at in at_25(0, 3)], container="matroska")
    clip, done = clip_of(film, 1, 2)
    assert [number for number, _ in seen_in(clip)[0]] == list(range(25, 50))
    assert (done.first, done.end) == (1, 2)


# --- Films of ours ------------------------------------------------------------------------------


def test_a_film_of_ours_is_cut_over_dropped_pictures_and_missing_segments() -> None:
    def when(number: int) -> int:
        # A camera that stood still from 2 s to 5 s.
        return 3000 * number + 270_000 * (number >= 60)

    film = films.film(270, sound=rustling, times=when)
    every = segments.segments_of(*segments.split(film))
    for kept in (every, every[:1] + every[3:], every[2:], every[:-2]):
        joined = segments.joined(kept)
        whole = joined.open().read()
        truth = Truth.of(whole)
        for start, end in ((0.5, 4.5), (1.9, 5.1), (2.5, 4), (3, 6.5), (0.2, 7)):
            check_clip(whole, truth, start, end, 1)


# --- As others see it ---------------------------------------------------------------------------


@pytest.mark.interop
@pytest.mark.parametrize("name", ["frozen in the middle", "on late", "off early"])
def test_ffmpeg_finds_the_same_pictures_and_length(
    name: str, container: str, tmp_path: Path
) -> None:
    odd, path = ODD[name], tmp_path / "clip.mp4"
    film = made(odd.pictures, odd.heard, container=container)
    truth = Truth.of(film)
    for start, end in odd.marks:
        path.write_bytes(clip_of(film, start, end)[0])
        raw = ffmpeg("ffmpeg", "-i", str(path), "-map", "0:v", "-fps_mode", "passthrough",
                     "-pix_fmt", "gray", "-f", "rawvideo", "-")  # fmt: skip
        told = ffmpeg("ffprobe", "-show_frames", "-show_streams", "-of", "json", "-select_streams",
                      "v", str(path))  # fmt: skip
        found = json.loads(told)
        size = films.WIDTH * films.HEIGHT
        numbers = [number_of(raw[at : at + size]) for at in range(0, len(raw), size)]
        times = [round(1000 * float(one["pts_time"])) for one in found["frames"]]
        begin, stop = (Fraction(round(one * 1000), 1000) for one in (start, end))
        expected = truth.seen(begin, stop)
        assert numbers == [number for number, _ in expected]
        assert times == [round(1000 * at) for _, at in expected]
        (picture,) = found["streams"]
        lasts = picture["duration_ts"] * Fraction(picture["time_base"])
        assert lasts == stop - begin
        heard = ffmpeg("ffmpeg", "-i", str(path), "-map", "0:a", "-f", "s16le", "-")
        assert abs(len(heard) / 2 - (stop - begin) * films.RATE) <= 1024


def ffmpeg(program: str, *words: str) -> bytes:
    done = subprocess.run([program, "-v", "error", *words], capture_output=True, check=True)
    return done.stdout


def number_of(picture: bytes) -> int:
    """The number in the blocks of a grey picture."""
    row = picture[8 * films.WIDTH : 9 * films.WIDTH]
    return int("".join(str(int(row[at] > 128)) for at in range(8, films.WIDTH, 16)), 2)
