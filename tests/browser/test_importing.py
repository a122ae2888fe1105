"""Bringing in a film made elsewhere, as a person does it: with and without JavaScript."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.selftest.kit import Kit, wait_for
from tests.browser.conftest import PATIENCE, Visitor, page_of
from tests.support import films
from tests.support.pages import WebKit

OLD = {"strict": "unofficial"}
"""For what only old cameras write."""


@pytest.fixture
def kit(tmp_path: Path) -> Iterator[Kit]:
    """A kit with a case without films, its page a real process; the recorder is only its files."""
    with WebKit(tmp_path) as made:
        made.unlock()
        made.make_case("R and K")
    with page_of(made, tmp_path / "logs") as running:
        yield running


def to_import(visitor: Visitor) -> None:
    visitor.unlock()
    visitor.follow("R and K")
    visitor.follow("Bring in a film made elsewhere")


def test_a_film_from_a_phone_is_brought_in_and_plays(visitor: Visitor, tmp_path: Path) -> None:
    film, text = tmp_path / "phone.mov", tmp_path / "letter.mp4"
    film.write_bytes(films.film(90, **films.SOURCES["with B-frames"]))
    text.write_bytes(b"Dear family, " * 1000)
    to_import(visitor)
    visitor.look("50-bring-in")
    visitor.page.set_input_files("#film", text)
    visitor.press("Bring it in")
    visitor.sees("This film was not brought in, and nothing of it was kept.")
    visitor.look("51-not-brought-in")
    visitor.press("Put this away")
    visitor.page.set_input_files("#film", film)
    visitor.press("Bring it in")
    visitor.sees("The film is here.")
    visitor.look("52-brought-in")
    visitor.follow("Look at it")
    video = visitor.page.locator("#player video")
    wait_for("a picture", lambda: video.evaluate("v => v.readyState >= 2") or None, PATIENCE)
    assert abs(video.evaluate("v => v.duration") - 3) < 0.1
    assert not visitor.complaints, visitor.complaints


def test_a_film_of_an_old_kind_is_refused_by_its_name_and_with_what_to_do(
    visitor: Visitor, tmp_path: Path
) -> None:
    film = tmp_path / "old.mov"
    film.write_bytes(films.film(30, codec="mjpeg", encoder=OLD, container="mov", options={}))
    to_import(visitor)
    visitor.page.set_input_files("#film", film)
    visitor.press("Bring it in")
    visitor.sees("The picture is Motion JPEG, an old camera's kind.")
    visitor.sees("on an iPhone with iMovie")
    visitor.look("53-of-an-old-kind")


def test_a_film_is_brought_in_without_scripts(plain_visitor: Visitor, tmp_path: Path) -> None:
    film = tmp_path / "phone.mp4"
    film.write_bytes(films.film(60, **films.PLAIN))
    to_import(plain_visitor)
    plain_visitor.page.set_input_files("#film", film)
    plain_visitor.press("Bring it in")

    def here() -> bool:
        plain_visitor.page.reload()
        return plain_visitor.page.get_by_text("The film is here.").count() > 0

    wait_for("the film", lambda: here() or None, PATIENCE)
