"""The film on the card: sealed as it is made, synced as it is sealed, closed whatever happens."""

import dataclasses
import io
import os
import resource
import shutil
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from itertools import accumulate
from pathlib import Path
from random import Random

import av
import pytest

from appliance.age.sealing import CHUNK, Bytes
from appliance.age.unsealing import SealedReader, unseal
from appliance.config import Config
from appliance.errors import BadSignature
from appliance.film.boxes import Samples, boxes
from appliance.film.fragments import Fragment, FragmentSplitter, Init
from appliance.film.index import rebuild_index
from appliance.film.manifest import EndReason, FilmStarted, Manifest, parse_manifest, segment_name
from appliance.film.recording import OpenedFilm, differences, open_recording
from appliance.film.segment import LONGEST_HELD, NewFile, SealedSegment, create
from appliance.protocol.permits import recipient_digest
from appliance.records.files import Home, new_id
from appliance.records.signing import Signer
from firmware.camera import GuardedSink
from firmware.cameras.scene import sound_frame
from firmware.cameras.testcard import TestCard, read_number
from firmware.muxer import Muxer
from firmware.recorder import LONGEST_STOP
from firmware.writer import (
    LONGEST_CLOSING,
    QUEUE_SECONDS,
    FilmParts,
    FilmWriter,
    recover,
)
from tests.support import films
from tests.support.clocks import NOON, FakeClock
from tests.support.fakes import CASE, FILMED_WITH, Reel, look_at, muxed

SIGNER = Signer.generate("kit-test")
CARD = TestCard(320, 180, 30)


class Place:
    """A home with one film being written to it."""

    def __init__(
        self, root: Path, *, segment_seconds: int = 2, most_waiting: int = 1 << 24
    ) -> None:
        self.home = Home(root / "home", root / "run")
        self.home.prepare(self.home.recordings)
        self.recording = new_id()
        self.directory = self.home.recording(self.recording)
        self.failures: list[EndReason] = []
        self.faults: list[EndReason | None] = []
        self.closed, self.failed = threading.Event(), threading.Event()
        self.clock = FakeClock()
        self.grown = threading.Event()
        self.writer = FilmWriter(
            FilmParts(
                self.home,
                Config(segment_seconds=segment_seconds),
                SIGNER,
                self.clock,
                lambda: NOON,
                lambda size: self.grown.set(),
                lambda: self._file,
            ),
            FilmStarted(
                recording=self.recording,
                case=new_id(),
                kit="test",
                permit=new_id(),
                consent="0" * 64,
                recipient=recipient_digest(str(CASE.recipient)),
                kind="visit",
                limit=60,
                sound=True,
                boot="this boot",
                started=NOON,
            ),
            CASE.recipient,
            most_waiting,
            self._on_failure,
            self._on_closed,
        )
        self.chunk_takes = 0.0
        """Seconds that the card needs for each write."""
        self.card_takes = threading.Event()
        """Until it is set, the card takes nothing."""
        self.card_takes.set()

    def _file(self, path: Path) -> NewFile:
        return SlowFile(create(path), self)

    def _on_failure(self, why: EndReason) -> None:
        self.failures.append(why)
        self.failed.set()

    def _on_closed(self, fault: EndReason | None) -> None:
        self.faults.append(fault)
        self.closed.set()

    def finish(self, why: EndReason = EndReason.BUTTON) -> None:
        self.writer.finish(why)
        assert self.closed.wait(30)

    def write(self, pieces: list[bytes]) -> None:
        """As fast as the card takes it."""
        self.writer.begin()
        self.writer.filmed_with(FILMED_WITH)
        for piece in pieces:
            while self.writer.busy:
                self.grown.wait(0.1)
                self.grown.clear()
            self.writer.write(piece)

    def manifest(self) -> Manifest:
        return parse_manifest((self.directory / "manifest").read_text(), [SIGNER.verifier])

    @contextmanager
    def opened(self, home: Home | None = None) -> Iterator[OpenedFilm]:
        directory = (home or self.home).recording(self.recording)
        opened = open_recording(directory, [CASE], [SIGNER.verifier], check=True)
        with closing(opened):
            yield opened

    def numbers(self) -> list[int | None]:
        with self.opened() as it, it.film.open() as file, av.open(file) as container:
            return [read_number(frame) for frame in container.decode(container.streams.video[0])]


class SlowFile:
    """A file on a card that takes its time, which passes as it writes."""

    def __init__(self, file: NewFile, place: Place) -> None:
        self._file, self._place = file, place
        self.fileno, self.close = file.fileno, file.close

    def write(self, data: Bytes, /) -> int:
        assert self._place.card_takes.wait(30)
        self._place.clock.advance(self._place.chunk_takes)
        return self._file.write(data)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


@pytest.fixture(scope="module")
def five_seconds() -> list[bytes]:
    return muxed(CARD, 150)


def split(pieces: list[bytes]) -> tuple[Init, list[Fragment]]:
    splitter = FragmentSplitter()
    init, *fragments = [unit for piece in pieces for unit in splitter.feed(piece)]
    assert isinstance(init, Init)
    return init, [f for f in fragments if isinstance(f, Fragment)]


@pytest.mark.parametrize("late", [0, 3_000, 16_000])
def test_where_pictures_are_missing_none_is_shown_early_and_as_many_are_missed_as_are_told(
    late: int,
) -> None:
    """However late, in samples, the sound may come: its packets end fragments, too."""
    reel, random = Reel(30), Random(late)
    look_at(TestCard(160, 96, 30), reel)
    for _ in range(5):
        times = list(accumulate(random.choice((1, 1, 1, 2, 8)) for _ in range(40)))
        times = [time - times[0] for time in times]
        written = io.BytesIO()
        muxer = Muxer(written.write, sound=True)
        sink = GuardedSink(muxer, 60, FakeClock(), lambda why: None)
        heard = 0
        for number, time in enumerate(times):
            while heard + late < time * 1600:
                sink.sound(sound_frame(bytes(3200), heard))
                heard += 1600
            data, _, duration, key = reel.pictures[number % 30]
            sink.picture(data, time * 3000, duration, key)
        sink.close()
        muxer.close()
        written.seek(0)
        with av.open(written) as film:
            shown = [frame.time for frame in film.decode(film.streams.video[0])]
        assert shown == pytest.approx([time / 30 for time in times])
        assert sink.missed == times[-1] + 1 - len(times)


def test_a_film_is_on_the_card_whole_signed_and_opens_with_the_case_alone(
    place: Place, five_seconds: list[bytes]
) -> None:
    place.write(five_seconds)
    place.finish()
    assert place.faults == [None]
    with place.opened() as opened:
        assert opened.complete and differences(opened.directory, opened.manifest) == []
        assert opened.manifest.signed_by == SIGNER.verifier
        end = opened.manifest.ended
    assert end is not None
    assert (end.why, end.ended, end.frames, end.segments) == (EndReason.BUTTON, NOON, 150, 3)
    assert end.seconds == pytest.approx(5)
    assert place.numbers() == list(range(150))
    assert (place.writer.frames, place.writer.segments) == (150, 3)
    assert place.writer.bytes == sum(p.stat().st_size for p in place.directory.glob("*.mp4.age"))


def test_a_film_says_what_its_camera_was_set_to_before_anything_of_it_is_on_the_card(
    place: Place, five_seconds: list[bytes]
) -> None:
    place.writer.begin()
    for piece in five_seconds[:20]:
        place.writer.write(piece)
    assert not place.grown.wait(0.2), "what the camera is set to is told first"
    place.writer.filmed_with(FILMED_WITH)
    assert place.grown.wait(30)
    # As a pulled plug leaves it.
    assert place.manifest().filmed_with == FILMED_WITH
    lost = place.home.root.parent / "lost"
    shutil.copytree(place.home.root, lost)
    recover(Home(lost, place.home.run), SIGNER)
    text = (Home(lost, place.home.run).recording(place.recording) / "manifest").read_text()
    assert parse_manifest(text, [SIGNER.verifier]).filmed_with == FILMED_WITH
    place.finish()
    manifest = place.manifest()
    assert manifest.filmed_with == FILMED_WITH and manifest.signed_by == SIGNER.verifier


def test_a_film_whose_camera_never_opened_ends_without_a_word_of_it(place: Place) -> None:
    place.writer.begin()
    place.finish(EndReason.CAMERA_FAILED)
    manifest = place.manifest()
    assert manifest.filmed_with is None
    assert manifest.ended is not None and manifest.ended.why is EndReason.CAMERA_FAILED


def test_segments_are_cut_at_key_frames_and_each_plays_by_itself(
    place: Place, five_seconds: list[bytes]
) -> None:
    place.write(five_seconds)
    place.finish()
    numbers = []
    for line in place.manifest().segments:
        plain = unseal((place.directory / line.name).read_bytes(), [CASE])
        with av.open(io.BytesIO(plain)) as film:
            frames = list(film.decode(film.streams.video[0]))
        assert frames[0].key_frame
        numbers.append([read_number(frame) for frame in frames])
    assert numbers == [list(range(60)), list(range(60, 120)), list(range(120, 150))]


def test_a_segment_waits_for_a_key_frame_however_seldom_they_come(place: Place) -> None:
    # A key frame every 1.8 seconds, and segments of two.
    film = films.film(300, encoder=films.LIKE_OURS | {"g": "54"})
    place.write([film[at : at + 4096] for at in range(0, len(film), 4096)])
    place.finish()
    frames = [line.frames for line in place.manifest().segments]
    assert frames == [108, 108, 84]
    for line in place.manifest().segments:
        plain = unseal((place.directory / line.name).read_bytes(), [CASE])
        with av.open(io.BytesIO(plain)) as film:
            assert len(list(film.decode(film.streams.video[0]))) == line.frames


def test_nothing_of_the_film_is_on_the_card_in_clear(
    place: Place, five_seconds: list[bytes]
) -> None:
    place.write(five_seconds)
    place.finish()
    _, fragments = split(five_seconds)
    for path in place.directory.iterdir():
        data = path.read_bytes()
        assert not any(name in data for name in (b"moov", b"moof", b"mdat", b"avcC"))
        assert not any(fragment.data[-200:-100] in data for fragment in fragments)


def test_a_manifest_of_somebody_else_is_not_believed(
    place: Place, five_seconds: list[bytes]
) -> None:
    place.write(five_seconds)
    place.finish()
    text = (place.directory / "manifest").read_text()
    with pytest.raises(BadSignature):
        parse_manifest(text, [Signer.generate("kit-test").verifier])
    with pytest.raises(BadSignature):
        parse_manifest(text.replace('"limit":60', '"limit":90'), [SIGNER.verifier])


def readable(directory: Path) -> bytes:
    """What can be read of a segment as it lies there now."""
    with open(directory / segment_name(0), "rb") as file:
        reader = SealedReader(io.BytesIO(file.read()), [CASE])
        return reader.read_at(0, reader.size)


class Snow(TestCard):
    """Pictures that take all the bits which they are given."""

    def frame(self, number: int) -> av.VideoFrame:
        frame = super().frame(number)
        frame.planes[0].update(Random(number).randbytes(frame.planes[0].buffer_size))
        return frame


@pytest.mark.parametrize("scene", [CARD, Snow(320, 180, 25)], ids=["still", "snow"])
def test_no_more_than_an_eighth_of_a_second_is_held_back(tmp_path: Path, scene: TestCard) -> None:
    init, fragments = split(muxed(scene, 100, 5_000_000))
    whole = set(accumulate(fragment.frames for fragment in fragments))
    segment = SealedSegment(tmp_path, new_id(), 0, init, CASE.recipient)
    written, found = 0, []
    for fragment in fragments:
        segment.add(fragment)
        found.append(segment.sync(at_once=not found))
        written += fragment.frames
        assert (written - found[-1]) / scene.rate <= LONGEST_HELD
        with closing(SealedReader(open(tmp_path / segment_name(0), "rb"), [CASE])) as opened:
            assert found[-1] == rebuild_index(opened, new_id(), 0).frames
    segment.close()
    if scene is not CARD:
        assert not whole.issuperset(found[1:]), "what is whole of a torn fragment counts"


@pytest.mark.parametrize("sound", [False, True])
@pytest.mark.parametrize("rate", [10, 24, 25, 30])
def test_what_is_muxed_waits_for_one_picture_alone(rate: int, sound: bool) -> None:
    """Each fragment comes with the picture after its last; and there are few enough of them."""
    splitter, out, waited = FragmentSplitter(), [0], list[int]()

    def write(data: bytes) -> None:
        fragments = [unit for unit in splitter.feed(data) if isinstance(unit, Fragment)]
        out[0] += sum(fragment.frames for fragment in fragments)
        waited.extend(len(reel.pictures) - out[0] for _ in fragments)

    reel = Reel(3 * rate, Muxer(write, sound))
    look_at(TestCard(160, 96, rate), reel)
    assert set(waited) == {1}
    assert len(waited) <= 1 + 5 * 3, "each is a sync of the card"


def test_the_first_fragment_is_sealed_at_once(tmp_path: Path, five_seconds: list[bytes]) -> None:
    init, fragments = split(five_seconds)
    segment = SealedSegment(tmp_path, new_id(), 0, init, CASE.recipient)
    segment.add(fragments[0])
    assert segment.sync(at_once=True) == fragments[0].frames
    assert fragments[0].data in readable(tmp_path)
    segment.close()


@pytest.mark.parametrize("short", [0, 1, 7, 8, 9, 20])
def test_boxes_fill_a_chunk_however_little_room_there_is(
    tmp_path: Path, five_seconds: list[bytes], short: int
) -> None:
    """`short`: bytes that are missing to a full chunk when it has to be filled."""
    init, fragments = split(five_seconds)
    length = CHUNK - len(init.data) - short
    picture = Samples(init.picture.id, 8, 0, (length - 8,), (3000,), (0,), ())
    odd = dataclasses.replace(fragments[0], data=bytes(length), samples=(picture,))
    segment = SealedSegment(tmp_path, new_id(), 0, init, CASE.recipient)
    segment.add(odd)
    segment.sync(at_once=True)
    plain = readable(tmp_path)
    assert plain.startswith(init.data + odd.data)
    assert len(plain) % CHUNK == 0
    filled = list(boxes(plain, len(init.data) + length))
    assert [box.name for box in filled] == ([b"free"] if short else [])
    line = segment.close()
    whole = unseal((tmp_path / line.name).read_bytes(), [CASE])
    assert whole[: len(plain)] == plain
    assert [box.name for box in boxes(whole, len(plain))] == [b"free"]


@pytest.mark.parametrize("bound", ["seconds", "bytes"])
def test_a_card_that_is_too_slow_ends_the_film_and_keeps_what_it_took(
    tmp_path: Path, five_seconds: list[bytes], bound: str
) -> None:
    most = sum(map(len, five_seconds)) // (2 if bound == "bytes" else 1)
    place = Place(tmp_path, most_waiting=most)
    # Nobody takes anything until the writer begins.
    for piece in five_seconds:
        place.writer.write(piece)
    assert place.failures == [EndReason.SLOW_CARD]
    place.writer.begin()
    place.finish(EndReason.SLOW_CARD)
    assert place.faults == [None]
    numbers = place.numbers()
    assert numbers == list(range(len(numbers)))
    assert place.writer.frames == len(numbers)
    longest = QUEUE_SECONDS * 30
    if bound == "seconds":
        assert longest - 8 < len(numbers) <= longest
    else:
        assert 0 < len(numbers) < longest - 8
    end = place.manifest().ended
    assert end is not None and end.why is EndReason.SLOW_CARD


@pytest.mark.parametrize("takes", [0.01, 0.3, 0.7, 3.0, 9.0])
def test_however_slow_the_card_and_large_the_film_it_is_closed_and_signed_in_time(
    tmp_path: Path, five_seconds: list[bytes], takes: float
) -> None:
    """Slow in bytes: at a higher bit rate what waits takes longer, and the recorder ended itself to
    be rid of a card that it took to hang."""
    place = Place(tmp_path, most_waiting=1 << 30)
    for piece in five_seconds:
        place.writer.write(piece)
    assert place.failures == [EndReason.SLOW_CARD]
    place.chunk_takes = takes
    place.card_takes.clear()
    place.writer.begin()
    place.writer.finish(EndReason.SLOW_CARD)
    ended = place.clock.monotonic()
    place.card_takes.set()
    assert place.closed.wait(30)
    took = place.clock.monotonic() - ended
    assert took <= LONGEST_CLOSING + takes and took < LONGEST_STOP
    end = place.manifest().ended
    assert end is not None and end.why is EndReason.SLOW_CARD
    # Whatever was sealed is as good as ever.
    if place.writer.frames:
        numbers = place.numbers()
        assert numbers == list(range(len(numbers))) and len(numbers) >= place.writer.frames


def test_what_is_no_film_ends_it_and_is_not_raised_into_the_muxer(
    place: Place, five_seconds: list[bytes], caplog: pytest.LogCaptureFixture
) -> None:
    place.write(five_seconds)
    place.writer.write(b"\0" * 64)
    assert place.failures == [EndReason.FAULT]
    place.writer.write(five_seconds[0])
    place.finish(EndReason.FAULT)
    assert place.failures == [EndReason.FAULT] and place.faults == [None]
    assert place.numbers() == list(range(150))
    assert "not a film" in caplog.text


@contextmanager
def files_no_larger_than(size: int) -> Iterator[None]:
    """The card refuses every write beyond this length."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_card_that_refuses_a_write_ends_the_film_and_keeps_what_is_sealed(
    tmp_path: Path, five_seconds: list[bytes]
) -> None:
    place = Place(tmp_path, segment_seconds=3)
    with files_no_larger_than(5 * CHUNK):
        place.write(five_seconds)
        assert place.failed.wait(30)
        assert place.failures == [EndReason.DISK_FAILED]
        place.finish(EndReason.DISK_FAILED)
    manifest = place.manifest()
    assert manifest.ended is not None and manifest.ended.why is EndReason.DISK_FAILED
    assert manifest.ended.tail is not None
    assert manifest.ended.tail.name == segment_name(0)
    numbers = place.numbers()
    assert numbers == list(range(len(numbers)))
    assert len(numbers) >= place.writer.frames > 0


def test_a_card_that_refuses_everything_leaves_the_film_for_the_next_start(
    place: Place, five_seconds: list[bytes]
) -> None:
    place.write(five_seconds)
    with files_no_larger_than(0):
        place.finish()
    assert place.faults == [EndReason.DISK_FAILED]
    assert recover(place.home, SIGNER) == [place.recording]
    assert place.manifest().ended is not None


def test_a_film_without_a_single_picture_is_closed_too(place: Place) -> None:
    place.write([])
    place.finish(EndReason.CAMERA_FAILED)
    end = place.manifest().ended
    assert end is not None
    assert (end.why, end.frames, end.segments, end.tail) == (EndReason.CAMERA_FAILED, 0, 0, None)


# --- After a power cut --------------------------------------------------------------------------


def cut(place: Place, to: Path, pieces: list[bytes]) -> Home:
    """The card as a power cut leaves it: everything written but nothing closed."""
    place.write(pieces)
    place.finish()
    home = Home(to / "home", to / "run")
    shutil.copytree(place.home.root, home.root)
    directory = home.recording(place.recording)
    lines = (directory / "manifest").read_text().splitlines(keepends=True)
    # The last segment has no line, no index and no end; the line before it was torn.
    (directory / "manifest").write_text("".join(lines[:4]) + lines[4][:40])
    tail = directory / segment_name(2)
    os.truncate(tail, tail.stat().st_size - 100)
    (directory / "0002.index.age").unlink()
    return home


def test_after_a_power_cut_the_film_is_closed_without_any_key_and_what_was_sealed_opens(
    place: Place, tmp_path: Path, five_seconds: list[bytes]
) -> None:
    home = cut(place, tmp_path / "cut", five_seconds)
    assert recover(home, SIGNER) == [place.recording]
    directory = home.recording(place.recording)
    manifest = parse_manifest((directory / "manifest").read_text(), [SIGNER.verifier])
    assert len(manifest.segments) == 2
    end = manifest.ended
    assert end is not None and end.tail is not None
    assert (end.why, end.ended, end.frames) == (EndReason.POWER, None, 120)
    assert (end.tail.name, end.tail.size) == (
        segment_name(2),
        (directory / segment_name(2)).stat().st_size,
    )
    with place.opened(home) as opened:
        assert len(opened.film.frames) > 120
        assert differences(opened.directory, opened.manifest) == []


def test_recovery_does_nothing_twice_and_nothing_to_films_that_are_closed(
    place: Place, tmp_path: Path, five_seconds: list[bytes]
) -> None:
    home = cut(place, tmp_path / "cut", five_seconds)
    recover(home, SIGNER)
    before = {path: path.read_bytes() for path in home.recordings.rglob("*") if path.is_file()}
    assert recover(home, SIGNER) == []
    assert {p: p.read_bytes() for p in home.recordings.rglob("*") if p.is_file()} == before


def test_a_place_where_no_film_had_begun_is_cleared(place: Place) -> None:
    place.directory.mkdir()
    (place.directory / ".manifest.abcd.new").write_bytes(b"half a li")
    assert recover(place.home, SIGNER) == []
    assert not place.directory.exists()


def test_sealed_film_with_a_manifest_that_cannot_be_read_is_left_alone(
    place: Place, five_seconds: list[bytes], caplog: pytest.LogCaptureFixture
) -> None:
    place.write(five_seconds)
    place.finish()
    (place.directory / "manifest").write_bytes(b"\xff\xfe")
    before = sorted(path.name for path in place.directory.iterdir())
    assert recover(place.home, SIGNER) == []
    assert sorted(path.name for path in place.directory.iterdir()) == before
    assert place.recording in caplog.text
