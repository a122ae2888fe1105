"""Bringing in a film made elsewhere, as a person does it: with and without JavaScript."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Locator

from appliance.bench.odd.films import FILMS
from appliance.selftest.kit import Kit, wait_for
from tests.browser.conftest import LAPTOP, PATIENCE, Visitor, page_of
from tests.browser.test_moments import keep, say_the_word
from tests.support import films
from tests.support.odd_films import Heard, made
from tests.support.pages import WebKit

OLD = {"strict": "unofficial"}
"""For what only old cameras write."""
PLAYED = """video => video.ended ? video.duration : new Promise(go => {
  video.addEventListener("ended", () => go(video.duration), { once: true });
})"""
"""Seconds that a clip lasts, once it has been played to its end."""


@pytest.fixture
def kit(tmp_path: Path) -> Iterator[Kit]:
    """A kit with a case without films, its page a real process; the recorder is only its files."""
    with WebKit(tmp_path) as made:
        made.unlock()
        made.make_case("R and K")
    with page_of(made, tmp_path / "logs") as running:
        yield running


def a_picture(visitor: Visitor) -> Locator:
    """The player, once it shows one."""
    video = visitor.page.locator("#player video")
    wait_for("a picture", lambda: video.evaluate("v => v.readyState >= 2") or None, PATIENCE)
    return video


def to_import(visitor: Visitor) -> None:
    visitor.unlock()
    visitor.follow("R and K")
    visitor.follow("Add a film from a phone or video call")


def test_a_film_from_a_phone_is_brought_in_and_plays(visitor: Visitor, tmp_path: Path) -> None:
    film, text = tmp_path / "phone.mov", tmp_path / "letter.mp4"
    film.write_bytes(films.film(90, **films.SOURCES["with B-frames"]))
    text.write_bytes(b"Dear family, " * 1000)
    to_import(visitor)
    visitor.look("50-bring-in")
    visitor.page.set_input_files("#film", text)
    visitor.press("Add this film")
    visitor.sees("We could not add this film. Nothing was saved.")
    visitor.look("51-not-brought-in")
    visitor.press("Dismiss")
    visitor.page.set_input_files("#film", film)
    visitor.press("Add this film")
    visitor.sees("The film is on this kit.")
    visitor.look("52-brought-in")
    visitor.follow("Watch it")
    video = a_picture(visitor)
    assert abs(video.evaluate("v => v.duration") - 3) < 0.1
    assert not visitor.complaints, visitor.complaints


def test_a_film_of_an_old_kind_is_refused_by_its_name_and_with_what_to_do(
    visitor: Visitor, tmp_path: Path
) -> None:
    film = tmp_path / "old.mov"
    film.write_bytes(films.film(30, codec="mjpeg", encoder=OLD, container="mov", options={}))
    to_import(visitor)
    visitor.page.set_input_files("#film", film)
    visitor.press("Add this film")
    visitor.sees("The picture is Motion JPEG, an old camera's kind.")
    visitor.sees("Use iMovie on an iPhone")
    visitor.look("53-of-an-old-kind")


def frozen_call() -> bytes:
    """Twelve seconds of a call whose camera stands still for six, and talk all the while."""
    seen = [number / 25 for number in range(300) if not 63 <= number < 213]
    return made(seen, Heard(0, 12), container="webm")


def bring_in(visitor: Visitor, film: Path) -> None:
    """And look at it: the one that came last stands first."""
    visitor.follow("Add a film from a phone or video call")
    here = visitor.page.get_by_text("The film is on this kit.")
    before = here.count()
    visitor.page.set_input_files("#film", film)
    visitor.press("Add this film")
    wait_for("the film", lambda: here.count() > before or None, PATIENCE)


def test_films_of_a_telephone_and_a_call_and_a_torn_one_become_one_review(
    visitor: Visitor, tmp_path: Path
) -> None:
    telephone, call, torn = (tmp_path / name for name in ("IMG_1.mov", "call.webm", "torn.mkv"))
    telephone.write_bytes(FILMS["iphone16-apac.mov"].make())
    call.write_bytes(frozen_call())
    torn.write_bytes(FILMS["torn-nodur.mkv"].make())
    page = visitor.page
    visitor.unlock()
    visitor.follow("R and K")
    case = visitor.path
    clips = [
        (telephone, "Listen, and check that no one is missing.", 1.0, 3.0, "On the telephone"),
        (call, "", 4.0, 7.5, "In the call, while the picture stands"),
        (torn, "Its end is missing", 2.0, 4.0, "In what was torn"),
    ]
    for film, told, start, end, note in clips:
        bring_in(visitor, film)
        if told:
            visitor.sees(told)
        visitor.look(f"55-brought-in-{film.stem}")
        visitor.use(page.get_by_role("link", name="Watch it").first)
        a_picture(visitor)
        page.fill("#start", str(start))
        page.fill("#end", str(end))
        keep(page, note)
        visitor.look(f"56-film-{film.stem}")
        visitor.go(case)
    visitor.follow("Clips and shared review")
    visitor.press("Start the review on this screen")
    say_the_word(visitor)
    page.get_by_role("button", name="Start").click()
    for number, (_, _, start, end, _) in enumerate(clips, 1):
        page.get_by_text(f"{number} of {len(clips)}").wait_for()
        # It plays by itself: where the picture stands it lasts as long as the talk.
        lasts = page.locator("video").nth(number - 1).evaluate(PLAYED)
        assert abs(lasts - (end - start)) < 0.05
        visitor.look(f"57-review-{number}-of-films-from-elsewhere", [LAPTOP])
        page.keyboard.press("ArrowRight")
    assert not visitor.complaints, visitor.complaints


def test_a_film_is_brought_in_without_scripts(plain_visitor: Visitor, tmp_path: Path) -> None:
    film = tmp_path / "phone.mp4"
    film.write_bytes(films.film(60, **films.PLAIN))
    to_import(plain_visitor)
    plain_visitor.page.set_input_files("#film", film)
    plain_visitor.press("Add this film")

    def here() -> bool:
        plain_visitor.page.reload()
        return plain_visitor.page.get_by_text("The film is on this kit.").count() > 0

    wait_for("the film", lambda: here() or None, PATIENCE)
