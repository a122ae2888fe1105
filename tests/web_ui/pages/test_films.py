"""Films and clips on the page: parts of a film over HTTP, and moments cut from it."""

import io
import random
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import av
import pytest
from flask import Flask

from appliance.casework.clips import Clip
from appliance.film.manifest import EndReason
from tests.support import films
from tests.support.pages import LARGE, Page, WebKit, practitioner
from web_ui.player.ranges import AT_ONCE, LATER, PIECE, TABLES, play

FRAMES = 75


@pytest.fixture(scope="module")
def kit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebKit]:
    """One kit with one film for all tests that only look."""
    with WebKit(tmp_path_factory.mktemp("kit")) as made:
        yield with_film(made)


@pytest.fixture
def own_kit(tmp_path: Path) -> Iterator[WebKit]:
    """A kit for a test that changes something."""
    with WebKit(tmp_path) as made:
        yield with_film(made)


def with_film(kit: WebKit, encoder: Mapping[str, str] = films.LIKE_OURS) -> WebKit:
    kit.unlock()
    case = kit.make_case()
    kit.recorder.write_film(case, kit.recipient(case), FRAMES, encoder=encoder)
    return kit


def place(kit: WebKit) -> str:
    """The address of the one film."""
    case = kit.parts.cases.records()[0].id
    (film,) = [path.name for path in kit.home.recordings.iterdir()]
    return f"/cases/{case}/films/{film}"


def whole(kit: WebKit) -> bytes:
    return kit.browser.get(f"{place(kit)}/video").response.data


def numbers(film: bytes) -> list[int]:
    with av.open(io.BytesIO(film)) as opened:
        return [films.number_in(frame) for frame in opened.decode(video=0)]


def keep(kit: WebKit, start: str, end: str, note: str = "") -> Page:
    url = place(kit)
    return kit.browser.submit(url, action=f"{url}/clips", start=start, end=end, note=note)


def wait_for(made: Callable[[], bool]) -> None:
    """The clip is made by a thread of its own: the one thing here that takes real time."""
    until = time.monotonic() + 30
    while not made():
        assert time.monotonic() < until, "it was never made"
        time.sleep(0.01)


def clip_of(kit: WebKit) -> Clip:
    case = kit.open_case(kit.parts.cases.records()[0].id)
    wait_for(lambda: bool(case.read_all(Clip)))
    (clip,) = case.read_all(Clip)
    return clip


def test_the_whole_film_plays(kit: WebKit) -> None:
    answer = kit.browser.get(f"{place(kit)}/video").response
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "video/mp4"
    assert answer.headers["Accept-Ranges"] == "bytes"
    assert answer.headers["Cache-Control"] == "no-store"
    assert int(answer.headers["Content-Length"]) == len(answer.data)
    assert numbers(answer.data) == list(range(FRAMES))


def test_any_part_is_that_part_of_the_whole(kit: WebKit) -> None:
    data = whole(kit)
    size = len(data)
    chance = random.Random(1)
    edges = [0, 1, size // 2, size - 2, size - 1]
    spans = [(a, b) for a in edges for b in edges if a <= b]
    spans += [tuple(sorted((chance.randrange(size), chance.randrange(size)))) for _n in range(40)]
    for first, last in spans:
        answer = kit.browser.get(f"{place(kit)}/video", Range=f"bytes={first}-{last}").response
        assert answer.status_code == 206
        assert answer.headers["Content-Range"] == f"bytes {first}-{last}/{size}"
        assert int(answer.headers["Content-Length"]) == last - first + 1
        assert answer.data == data[first : last + 1]


@pytest.mark.parametrize(
    ("asked", "first", "last"),
    [
        ("bytes=0-", 0, -1),
        ("bytes=100-", 100, -1),
        ("bytes=-100", -100, -1),
        ("bytes=-99999999999", 0, -1),
        ("bytes=0-99999999999", 0, -1),
        ("bytes=0-0", 0, 0),
    ],
)
def test_open_ended_ranges(kit: WebKit, asked: str, first: int, last: int) -> None:
    data = whole(kit)
    size = len(data)
    answer = kit.browser.get(f"{place(kit)}/video", Range=asked).response
    start, end = first % size, last % size
    assert answer.status_code == 206
    assert answer.headers["Content-Range"] == f"bytes {start}-{end}/{size}"
    assert answer.data == data[start : end + 1]


class Still:
    """Something long that plays."""

    size, etag = 2 * TABLES, "still"

    def read_at(self, offset: int, length: int, /) -> bytes:
        return bytes(length)

    def close(self) -> None: ...


@pytest.mark.parametrize(("first", "at_once"), [(0, TABLES), (TABLES, AT_ONCE)])
def test_a_player_that_reads_far_ahead_leaves_the_kit_time_for_others(
    first: int, at_once: int
) -> None:
    rests: list[float] = []
    with Flask(__name__).test_request_context(headers={"Range": f"bytes={first}-"}):
        answer = play(Still, rests.append)
        sent = b"".join(answer.response)
    assert len(sent) == Still.size - first
    assert rests == [LATER] * ((len(sent) - at_once) // PIECE)


@pytest.mark.parametrize("asked", ["bytes=SIZE-", "bytes=99999999999-", "bytes=-0"])
def test_a_range_past_the_end_is_refused_with_the_size(kit: WebKit, asked: str) -> None:
    size = len(whole(kit))
    asked = asked.replace("SIZE", str(size))
    answer = kit.browser.get(f"{place(kit)}/video", Range=asked).response
    assert answer.status_code == 416
    assert answer.headers["Content-Range"] == f"bytes */{size}"


@pytest.mark.parametrize(
    "asked",
    [
        *("", "bytes", "bytes=", "bytes=-", "bytes=a-b", "bytes=5-2", "lines=0-5", "bytes=--5"),
        *("bytes=0-1,5-6", "bytes=1-2-3", f"bytes=-{10**40}", f"bytes={10**40}-", "bytes=٣-٤"),
    ],
)
def test_what_is_not_one_good_range_gets_the_whole_film(kit: WebKit, asked: str) -> None:
    answer = kit.browser.get(f"{place(kit)}/video", Range=asked.encode().decode("latin-1"))
    assert answer.status == 200
    assert answer.response.data == whole(kit)


def test_a_part_is_only_sent_if_the_film_is_still_the_one_it_began_with(kit: WebKit) -> None:
    etag = kit.browser.head(f"{place(kit)}/video").response.headers["ETag"]
    url = f"{place(kit)}/video"
    assert kit.browser.get(url, Range="bytes=0-9", If_Range=etag).status == 206
    assert kit.browser.get(url, Range="bytes=0-9", If_Range='"another"').status == 200


def test_only_the_size_can_be_asked_for(kit: WebKit) -> None:
    answer = kit.browser.head(f"{place(kit)}/video", Range="bytes=0-9").response
    assert answer.status_code == 200
    assert int(answer.headers["Content-Length"]) == len(whole(kit))
    assert answer.data == b""


def test_frame_times_are_told_exactly(kit: WebKit) -> None:
    told = kit.browser.get(f"{place(kit)}/frames.json").response.json
    times, at = [], told["first"]
    for count, step in told["steps"]:
        for _n in range(count):
            times.append(at / told["scale"])
            at += step
    assert times == pytest.approx([n / 30 for n in range(FRAMES)], abs=1e-4)


def test_a_film_of_another_case_is_not_there(own_kit: WebKit) -> None:
    kit = own_kit
    film = place(kit).rpartition("/")[2]
    other = kit.make_case("Another family")
    for path in ("", "/video", "/frames.json", "/poster.jpg", "/glance.json"):
        assert kit.browser.get(f"/cases/{other}/films/{film}{path}").status == 404
    assert film not in kit.browser.get(f"/cases/{other}").text


@pytest.mark.parametrize(
    "path", ["films/abcdefghijklmnop/video", "films/../case.json", "clips/abcdefghijklmnop/video"]
)
def test_a_guessed_film_or_clip_is_not_there(kit: WebKit, path: str) -> None:
    case = kit.parts.cases.records()[0].id
    assert kit.browser.get(f"/cases/{case}/{path}").status == 404


def test_a_locked_page_sends_no_part_of_a_film(own_kit: WebKit) -> None:
    kit = own_kit
    for path in ("video", "frames.json", "poster.jpg", "glance.json"):
        assert kit.another_browser().get(f"{place(kit)}/{path}", Range="bytes=0-9").status == 403
    url = f"{place(kit)}/video"
    kit.browser.submit("/cases", action="/lock")
    assert kit.browser.get(url, Range="bytes=0-9").status == 403


def test_locking_cuts_off_a_film_that_is_being_sent(tmp_path: Path) -> None:
    with WebKit(tmp_path) as kit:
        with_film(kit, LARGE)
        size = len(whole(kit))
        assert size > PIECE
        player = kit.app.test_client()
        player.set_cookie("__Host-attune", kit.browser.cookie("__Host-attune"), domain="localhost")
        answer = player.get(f"{place(kit)}/video", base_url="https://localhost", buffered=False)
        kit.parts.session.end()
        assert int(answer.headers["Content-Length"]) == size
        assert len(answer.data) == PIECE, "what was on its way came, and nothing after it"


def test_a_film_that_was_cut_short_says_what_is_missing_and_plays(own_kit: WebKit) -> None:
    kit = own_kit
    case = kit.make_case("Another")
    film = kit.recorder.write_film(case, kit.recipient(case), FRAMES, EndReason.POWER)
    (kit.home.recording(film) / "0001.mp4.age").unlink()
    page = kit.browser.get(f"/cases/{case}/films/{film}")
    assert "Not all of this film is here" in page.words
    assert "From 0:01.0 to 0:02.0" in page.words
    assert "The power was cut" in page.words
    video = kit.browser.get(f"/cases/{case}/films/{film}/video").response.data
    assert numbers(video) == [n for n in range(FRAMES) if not 30 <= n < 60]


def test_a_film_whose_manifest_was_altered_is_refused_in_words(own_kit: WebKit) -> None:
    kit = own_kit
    manifest = kit.home.recordings / place(kit).rpartition("/")[2] / "manifest"
    manifest.write_text(manifest.read_text().replace('"limit":300', '"limit":600'))
    page = kit.browser.get(place(kit))
    assert page.status == 400
    assert "altered" in page.words


def test_a_moment_becomes_a_sealed_clip_of_exactly_its_frames(own_kit: WebKit) -> None:
    kit = own_kit
    page = keep(kit, "0.5", "0:01.5", "She turns to him")
    assert page.status == 200 and page.path == place(kit)
    clip = clip_of(kit)
    data = kit.browser.get(f"{place(kit).partition('/films')[0]}/clips/{clip.id}/video")
    assert numbers(data.response.data) == list(range(15, 45))
    assert (clip.frames, clip.words.note) == (30, "She turns to him")
    assert (clip.start / clip.scale, clip.end / clip.scale) == (0.5, 1.5)
    page = kit.browser.get(place(kit))
    assert "She turns to him" in page.words and "0:00.50 - 0:01.50" in page.words
    sealed = kit.home.case(page.path.split("/")[2]) / "clips" / f"{clip.id}.mp4.age"
    assert sealed.read_bytes().startswith(b"age-encryption.org/v1\n")
    assert clip.size == sealed.stat().st_size


def test_a_clip_plays_in_parts_too(own_kit: WebKit) -> None:
    kit = own_kit
    keep(kit, "0", "0.5")
    url = f"{place(kit).partition('/films')[0]}/clips/{clip_of(kit).id}/video"
    data = kit.browser.get(url).response.data
    part = kit.browser.get(url, Range=f"bytes=10-{len(data) - 11}").response
    assert part.status_code == 206 and part.data == data[10:-10]


@pytest.mark.parametrize(
    ("start", "end", "words"),
    [
        ("", "", "could not be read"),
        ("a", "b", "could not be read"),
        ("-1", "2", "could not be read"),
        ("1e1", "2", "could not be read"),
        ("2", "1", "not in order"),
        ("1", "1", "not in order"),
        ("99", "100", "not in order"),
        ("0", "301", "at most 5 minutes"),
    ],
)
def test_marks_that_cannot_be_are_refused_in_words_and_kept_in_the_form(
    kit: WebKit, start: str, end: str, words: str
) -> None:
    page = keep(kit, start, end, "what I saw")
    assert page.status == 400
    assert words in page.words
    form = page.form(f"{place(kit)}/clips")
    assert (form["start"], form["end"], form["note"]) == ([start], [end], ["what I saw"])


def test_marks_within_one_frame_say_so_after_trying(own_kit: WebKit) -> None:
    kit = own_kit
    keep(kit, "0.501", "0.502")
    wait_for(lambda: "could not be kept" in kit.browser.get(place(kit)).words)
    assert "Set the marks further apart" in kit.browser.get(place(kit)).words
    assert not list(next(kit.home.cases.glob("*/clips")).iterdir())


def test_a_clip_that_the_lock_interrupts_leaves_nothing_behind(own_kit: WebKit) -> None:
    kit = own_kit
    keep(kit, "0", "2")
    kit.parts.session.end()
    clips = next(kit.home.cases.glob("*/clips"))
    wait_for(lambda: not list(clips.glob(".*")))
    documents = clips.with_name("documents")
    wait_for(lambda: len(list(clips.iterdir())) == len(list(documents.glob("clip-*"))))


def test_another_practitioner_sees_nothing_of_the_films(own_kit: WebKit) -> None:
    kit = own_kit
    url = place(kit)
    kit.browser.submit("/cases", action="/lock")
    (kit.home.kit / "enrolled.json").unlink()
    for old in kit.home.keys.glob("practitioner-*"):
        old.rename(kit.root / old.name)
    kit.enrol(1)
    kit.unlock()
    assert practitioner(1).card().name in {p.name for p in kit.home.keys.iterdir()}
    assert kit.browser.get("/cases").path == "/cases"
    assert kit.browser.get(url).status == 404
    assert kit.browser.get(f"{url}/video", Range="bytes=0-9").status == 404
