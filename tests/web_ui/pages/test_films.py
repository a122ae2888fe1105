"""A film's page: when its frames appear, and moments cut from it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.casework.repair import waiting
from tests.support.emptying import emptied
from tests.support.pages import WebKit
from tests.support.watching import FRAMES, clip_of, keep, numbers, place, wait_for, with_film


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


def test_frame_times_are_told_exactly(kit: WebKit) -> None:
    told = kit.browser.get(f"{place(kit)}/frames.json").response.json
    times, at = [], told["first"]
    for count, step in told["steps"]:
        for _n in range(count):
            times.append(at / told["scale"])
            at += step
    assert times == pytest.approx([n / 30 for n in range(FRAMES)], abs=1e-4)


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
        ("", "", "Enter a time."),
        ("a", "b", "Enter a time."),
        ("-1", "2", "Enter a time."),
        ("1e1", "2", "Enter a time."),
        ("2", "1", "start must be before the end"),
        ("1", "1", "start must be before the end"),
        ("99", "100", "start must be before the end"),
        ("0", "301", "up to 5 minutes"),
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
    wait_for(lambda: "could not be saved" in kit.browser.get(place(kit)).words)
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


def test_a_film_that_left_the_card_is_shown_as_at_the_service_and_plays_nowhere(
    own_kit: WebKit,
) -> None:
    kit = own_kit
    keep(kit, "0.5", "0:01.5", "She turns to him")
    clip = clip_of(kit)
    there = place(kit)
    assert kit.browser.get(f"{there}/video").status in (200, 206)
    case, _, film = there.removeprefix("/cases/").partition("/films/")
    emptied(kit.home, kit.recorder.signer, case, film)
    page = kit.browser.get(f"/cases/{case}")
    assert page.status == 200
    assert "Your service has this film. It is no longer on this kit" in page.words
    assert f"/films/{film}" not in page.response.text
    # An address of before is answered in words, and the film that was open is not played on.
    for where in ("", "/video", "/poster.jpg", "/frames.json", "/glance.json"):
        page = kit.browser.get(f"{there}{where}")
        assert 400 <= page.status < 500, where
        assert "It is no longer on this kit" in page.response.text, where
    # Its moments play, and it can be taken back like any other.
    assert kit.browser.get(f"/cases/{case}/clips/{clip.id}/video").status == 200
    assert film in kit.browser.get(f"/cases/{case}/withdraw").response.text
    assert waiting(kit.home, [kit.recorder.signer.verifier]) == [], "there is nothing to mend"
