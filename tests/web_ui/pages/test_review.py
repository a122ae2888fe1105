"""The shared review on the page: what the family sees, and how it is closed."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.casework.clips import shelf
from appliance.casework.reviews import Review, reviews_of
from appliance.vault.cases import Goals, OpenCase
from tests.support.pages import WebKit
from tests.support.watching import keep, place, wait_for, with_film
from web_ui.session.session import IDLE_SECONDS


@pytest.fixture
def kit(tmp_path: Path) -> Iterator[WebKit]:
    """A kit with a film, a clip and a picture that were chosen from it."""
    with WebKit(tmp_path) as made:
        with_film(made)
        keep(made, "0.5", "1", "canary note")
        url = place(made)
        made.browser.submit(url, action=f"{url}/stills", at="2")
        wait_for(lambda: len(shelf(opened(made)).chosen) == 2)
        yield made


def opened(kit: WebKit) -> OpenCase:
    return kit.open_case(kit.parts.cases.records()[0].id)


def review(kit: WebKit) -> str:
    return f"/cases/{opened(kit).id}/review"


CLOSING = {"strengths": "She waits.", "next": "Bath time.", "go_on": "yes"}


def test_the_familys_screen_has_the_moments_in_order_and_no_name_or_note(kit: WebKit) -> None:
    first, second = shelf(opened(kit)).chosen
    page = kit.browser.get(f"{review(kit)}/show")
    assert page.text.index(f"clips/{first.id}/video") < page.text.index(f"stills/{second.id}/")
    for hidden in ("canary", "The family", "lantern", "To notice", "Families", "Lock", "14:05"):
        assert hidden not in page.text
    assert page.text.count("<a ") == 1, "the only way on is to finish"


def test_the_practitioners_own_window_has_the_notes(kit: WebKit) -> None:
    page = kit.browser.get(f"{review(kit)}/notes").words
    assert "canary note" in page and "Open the family's window" in page
    assert "video call" not in page, "not everyone has agreed to that"


def test_a_review_without_moments_says_so(tmp_path: Path) -> None:
    with WebKit(tmp_path) as kit:
        kit.unlock()
        case = kit.make_case()
        assert "You have not chosen any clips yet" in kit.browser.get(f"/cases/{case}/review").words
        assert (
            "You have not chosen any clips yet"
            in kit.browser.get(f"/cases/{case}/review/show").words
        )


def test_what_is_closed_is_sealed_in_the_case_and_shown_as_words(kit: WebKit) -> None:
    case = opened(kit)
    goals = case.read(Goals)
    assert goals
    (goal,) = goals.goals
    shown = tuple(one.id for one in shelf(case).chosen)
    url = f"{review(kit)}/close"
    page = kit.browser.submit(url, **CLOSING, **{f"goal-{goal.id}": "6"})
    assert page.status == 200
    (held,) = reviews_of(case)
    assert (held.strengths, held.next, held.go_on) == ("She waits.", "Bath time.", "yes")
    assert held.shown == shown
    assert [(one.goal, one.value) for one in held.ratings] == [(goal.id, 6)]
    for words in ("She waits.", "Bath time.", f"- {goal.text}: 6", "Clips watched: 2"):
        assert words in page.text
    assert "The family" not in page.text
    for path in kit.home.cases.rglob("*"):
        assert path.is_dir() or b"She waits" not in path.read_bytes()


def test_after_closing_the_next_review_is_chosen_afresh(kit: WebKit) -> None:
    kit.browser.submit(f"{review(kit)}/close", **CLOSING)
    page = kit.browser.get(review(kit)).words
    assert "You have not chosen any clips yet" in page and "Set aside (2)" in page
    assert "Past reviews" in page and "2 clips" in page


def test_the_same_closing_sent_twice_is_one_review(kit: WebKit) -> None:
    url = f"{review(kit)}/close"
    form = dict(kit.browser.get(url).form(url)) | CLOSING
    kit.browser.post(url, dict(form))
    kit.browser.post(url, dict(form) | {"next": "Story time."})
    (held,) = reviews_of(opened(kit))
    assert held.next == "Story time." and len(held.shown) == 2


@pytest.mark.parametrize(
    ("sent", "words"),
    [
        ({"strengths": "", "next": ""}, "Enter what went well, or what you will try next"),
        ({"go_on": ""}, "Select what happens next"),
        ({"go_on": "for ever"}, "Select what happens next"),
        ({"strengths": "x" * 2001}, "Use 2000 characters or fewer"),
    ],
)
def test_a_closing_that_cannot_be_is_refused_in_words_and_kept(
    kit: WebKit, sent: dict[str, str], words: str
) -> None:
    url = f"{review(kit)}/close"
    page = kit.browser.submit(url, **(CLOSING | sent))
    assert page.status == 400 and words in page.words
    assert not opened(kit).read_all(Review)
    assert page.form(url)["next"] == [(CLOSING | sent)["next"]]


def test_a_goal_that_is_rated_off_the_scale_is_not_rated(kit: WebKit) -> None:
    goals = opened(kit).read(Goals)
    assert goals
    sent = {f"goal-{goals.goals[0].id}": "11", "goal-abcdefghijklmnop": "5"}
    kit.browser.submit(f"{review(kit)}/close", **CLOSING, **sent)
    assert reviews_of(opened(kit))[0].ratings == ()


def test_a_guessed_review_or_one_of_another_case_is_not_there(kit: WebKit) -> None:
    kit.browser.submit(f"{review(kit)}/close", **CLOSING)
    held = reviews_of(opened(kit))[0].id
    other = kit.make_case("Another family")
    assert kit.browser.get(f"/cases/{other}/review/{held}").status == 404
    assert kit.browser.get(f"/cases/{other}/review/abcdefghijklmnop").status == 404


def test_a_locked_page_shows_nothing_of_a_review(kit: WebKit) -> None:
    url = review(kit)
    kit.parts.session.end()
    for page in ("", "/show", "/notes", "/close"):
        assert kit.browser.get(f"{url}{page}").path == "/unlock"


def test_looking_together_puts_the_lock_off_and_not_for_ever(kit: WebKit) -> None:
    url = f"{review(kit)}/show"
    kit.browser.get(url)
    for _ in range(8):
        kit.pass_by(IDLE_SECONDS - 60)
        kit.browser.get("/status.json?watching")
    assert kit.parts.session.unlocked
    for _ in range(3):
        kit.pass_by(IDLE_SECONDS - 60)
        kit.browser.get("/status.json?watching")
    assert kit.browser.get(url).path == "/unlock"
