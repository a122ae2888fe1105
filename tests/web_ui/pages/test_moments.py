"""Moments on the page: marked by typed times, worded, ordered, set aside; and pictures kept."""

import io
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import pytest

from appliance.casework.clips import Clip, Still, shelf
from appliance.vault.cases import Goals, OpenCase
from tests.support import films
from tests.support.pages import Page, WebKit
from tests.support.watching import clip_of, keep, numbers, place, wait_for, with_film


@pytest.fixture
def kit(tmp_path: Path) -> Iterator[WebKit]:
    with WebKit(tmp_path) as made:
        yield with_film(made)


def case_path(kit: WebKit) -> str:
    return place(kit).partition("/films")[0]


def opened(kit: WebKit) -> OpenCase:
    return kit.open_case(kit.parts.cases.records()[0].id)


def keep_picture(kit: WebKit, at: str) -> Page:
    url = place(kit)
    return kit.browser.submit(url, action=f"{url}/stills", at=at)


def chosen(kit: WebKit) -> list[str]:
    return [one.id for one in shelf(opened(kit)).chosen]


def kept_clips(kit: WebKit, count: int) -> list[str]:
    """So many clips, chosen in the order they were marked."""
    for number in range(count):
        keep(kit, f"{number * 0.1:.1f}", f"{number * 0.1 + 0.5:.1f}", f"moment {number}")
    wait_for(lambda: len(chosen(kit)) == count)
    return chosen(kit)


def put(kit: WebKit, moment: str, to: str) -> Page:
    action = f"{case_path(kit)}/moments/{moment}/place"
    return kit.browser.submit(place(kit), action=action, to=to)


# --- Pictures -------------------------------------------------------------------------------------


def test_a_picture_is_the_frame_that_is_seen_and_lies_sealed_in_the_case(kit: WebKit) -> None:
    page = keep_picture(kit, "0:01.05")
    assert page.status == 200 and page.path == place(kit)
    (still,) = opened(kit).read_all(Still)
    assert still.begins == Fraction(31, 30)
    answer = kit.browser.get(f"{case_path(kit)}/stills/{still.id}/picture.jpg").response
    assert answer.headers["Content-Type"] == "image/jpeg"
    assert answer.headers["Cache-Control"] == "no-store"
    with av.open(io.BytesIO(answer.data)) as picture:
        assert films.number_in(next(picture.decode(video=0))) == 31
    sealed = opened(kit).clips / f"{still.id}.jpg.age"
    assert sealed.read_bytes().startswith(b"age-encryption.org/v1\n")
    assert sealed.stat().st_size == still.size
    assert chosen(kit) == [still.id]


@pytest.mark.parametrize("at", ["", "soon", "-1", "2.5", "99"])
def test_a_picture_from_outside_the_film_is_refused_in_words(kit: WebKit, at: str) -> None:
    page = keep_picture(kit, at)
    assert page.status == 400 and "There is a problem" in page.words
    assert page.form(f"{place(kit)}/stills")["at"] == [at]
    assert not chosen(kit)


def test_a_film_and_a_clip_show_their_first_picture_before_they_play(kit: WebKit) -> None:
    keep(kit, "0.5", "1")
    clip = clip_of(kit).id
    for path, number in ((f"{place(kit)}/poster.jpg", 0), (f"{case_path(kit)}/clips/{clip}", 15)):
        url = path if path.endswith(".jpg") else f"{path}/poster.jpg"
        with av.open(io.BytesIO(kit.browser.get(url).response.data)) as picture:
            assert films.number_in(next(picture.decode(video=0))) == number
        assert url in kit.browser.get(place(kit)).text


# --- Words ----------------------------------------------------------------------------------------


def test_a_moment_is_kept_with_all_that_is_said_of_it(kit: WebKit) -> None:
    goals = opened(kit).read(Goals)
    assert goals
    (goal,) = goals.goals
    url = place(kit)
    kit.browser.submit(
        url,
        action=f"{url}/clips",
        start="0:00.5",
        end="0:01.5",
        note="She turns to him",
        goal=goal.id,
        principle="Receiving initiatives",
        turn="reception",
        question="What came first?",
    )
    words = clip_of(kit).words
    assert (words.note, words.question) == ("She turns to him", "What came first?")
    assert (words.goal, words.principle, words.turn) == (
        goal.id,
        "Receiving initiatives",
        "reception",
    )
    page = kit.browser.get(url).words
    assert f"Goal: {goal.text} · Receiving initiatives · Reception" in page
    assert "To ask: What came first?" in page


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("goal", "abcdefghijklmnop"),
        ("principle", "Being stern"),
        ("turn", "last"),
        ("note", "x" * 501),
        ("question", "x" * 501),
    ],
)
def test_words_that_cannot_be_are_refused_and_the_marks_stay(
    kit: WebKit, field: str, value: str
) -> None:
    url = place(kit)
    sent = {"start": "0.5", "end": "1", field: value}
    page = kit.browser.submit(url, action=f"{url}/clips", **sent)
    assert page.status == 400 and "There is a problem" in page.words
    assert page.form(f"{url}/clips")["start"] == ["0.5"]
    assert not chosen(kit)


def test_words_can_be_changed_later_without_cutting_again(kit: WebKit) -> None:
    keep(kit, "0.5", "1", "at first")
    clip = clip_of(kit)
    url = f"{case_path(kit)}/moments/{clip.id}"
    page = kit.browser.submit(f"{url}?back={place(kit)}", action=url, note="looked again")
    assert page.status == 200 and page.path == place(kit)
    again = clip_of(kit)
    assert again.words.note == "looked again"
    assert (again.sha256, again.made) == (clip.sha256, clip.made)


def test_a_form_leads_back_only_to_pages_of_its_own_case(kit: WebKit) -> None:
    keep(kit, "0.5", "1")
    url = f"{case_path(kit)}/moments/{clip_of(kit).id}"
    for elsewhere in ("https://example.org/", "//example.org", "/cases/abcdefghijklmnop/review"):
        page = kit.browser.submit(f"{url}?back={elsewhere}", action=url, note="x")
        assert page.path == case_path(kit)


# --- Order ----------------------------------------------------------------------------------------


def test_moments_are_moved_by_buttons(kit: WebKit) -> None:
    first, second, third = kept_clips(kit, 3)
    page = put(kit, third, "up")
    assert page.status == 200 and page.path == place(kit)
    assert chosen(kit) == [first, third, second]
    put(kit, first, "down")
    assert chosen(kit) == [third, first, second]
    assert page.words.index("moment 0") < page.words.index("moment 2")


def test_a_moment_taken_out_can_be_put_back(kit: WebKit) -> None:
    first, second = kept_clips(kit, 2)
    page = put(kit, first, "out")
    assert chosen(kit) == [second]
    assert "Set aside (1)" in page.words and "moment 0" in page.words
    put(kit, first, "back")
    assert chosen(kit) == [second, first]
    video = kit.browser.get(f"{case_path(kit)}/clips/{first}/video")
    assert numbers(video.response.data) == list(range(15))


@pytest.mark.parametrize("to", ["", "away"])
def test_a_move_that_does_not_exist_is_refused(kit: WebKit, to: str) -> None:
    (only,) = kept_clips(kit, 1)
    assert put(kit, only, to).status == 400


def test_a_moment_of_another_case_cannot_be_moved_or_worded(kit: WebKit) -> None:
    (only,) = kept_clips(kit, 1)
    case = opened(kit)
    token = {"csrf_token": kit.browser.get(place(kit)).form(f"{place(kit)}/clips")["csrf_token"]}
    other = kit.make_case("Another family")
    for path in (f"moments/{only}", f"clips/{only}/video", f"clips/{only}/poster.jpg"):
        assert kit.browser.get(f"/cases/{other}/{path}").status == 404
    page = kit.browser.post(f"/cases/{other}/moments/{only}/place", {**token, "to": "out"})
    assert page.status == 404
    assert [one.id for one in shelf(case).chosen] == [only]


def test_a_hint_speaks_up_at_the_fourth_clip_and_forbids_nothing(kit: WebKit) -> None:
    kept_clips(kit, 3)
    assert "3 is usually enough" not in kit.browser.get(place(kit)).words
    keep(kit, "1", "1.5")
    wait_for(lambda: len(chosen(kit)) == 4)
    assert "3 is usually enough" in kit.browser.get(place(kit)).words


def test_a_clip_is_cut_anew_in_its_place_with_its_words(kit: WebKit) -> None:
    first, second = kept_clips(kit, 2)
    url = f"{place(kit)}?instead={first}"
    form = kit.browser.get(url).form(f"{place(kit)}/clips")
    assert (form["start"], form["end"]) == (["0:00.000"], ["0:00.500"])
    kit.browser.submit(url, action=f"{place(kit)}/clips", end="1")
    wait_for(lambda: len(opened(kit).read_all(Clip)) == 3)
    again, after = chosen(kit)
    assert after == second
    clip = opened(kit).read(Clip, again)
    assert clip and (clip.words.note, clip.frames) == ("moment 0", 30)
    assert [one.id for one in shelf(opened(kit)).aside] == [first]


def test_a_clip_that_failed_can_be_cleared_away(kit: WebKit) -> None:
    keep(kit, "0.501", "0.502")
    url = place(kit)
    wait_for(lambda: "could not be saved" in kit.browser.get(url).words)
    (action,) = [a for a in _actions(kit.browser.get(url)) if a.endswith("/give-up")]
    page = kit.browser.submit(url, action=action)
    assert page.path == url and "could not be saved" not in page.words


def _actions(page: Page) -> list[str]:
    return [part.split('"')[0] for part in page.text.split('action="')[1:]]
