"""What the page's log says of a mistake of ours: where it was, and not a word of a family."""

import logging
from collections.abc import Sequence
from pathlib import Path

import pytest

from appliance.errors import frames
from tests.support.pages import WebKit
from web_ui.system.usb_sticks import Stick, Sticks


class Broken(Sticks):
    """Sticks that make a mistake in the second of two frames, with a family's word in it."""

    def __init__(self) -> None:
        pass

    def plugged_in(self) -> Sequence[Stick]:
        try:
            return self._looked("Robin and Alex")
        except KeyError as error:
            raise RuntimeError(f"no {error}") from error

    def _looked(self, words: str) -> Sequence[Stick]:
        raise KeyError(words)


def test_a_mistake_of_the_page_is_logged_with_every_frame_and_no_word_of_a_family(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with WebKit(tmp_path, sticks=Broken()) as kit:
        kit.unlock()
        case = kit.make_case("Robin and Alex")
        with caplog.at_level(logging.ERROR):
            page = kit.browser.get(f"/cases/{case}/copies")
    assert page.status == 500 and "there is a problem with the kit" in page.words
    assert "Traceback" not in page.text and "test_web_errors" not in page.text
    (said,) = [record.getMessage() for record in caplog.records if "copies" in record.getMessage()]
    assert "RuntimeError at " in said and "; after KeyError at " in said
    here = Path(__file__).read_text().split("\n")
    for text in ('self._looked("Robin and Alex")', "raise RuntimeError", "raise KeyError(words)"):
        line = 1 + next(number for number, found in enumerate(here) if text in found)
        assert f"test_errors.py:{line}" in said, text
    assert "web_ui/pages/copies.py:" in said and "Robin" not in said and "Alex" not in said


def test_an_error_that_is_its_own_cause_is_told_to_its_end() -> None:
    first, second = ValueError("a word"), KeyError("a word")
    first.__context__, second.__context__ = second, first
    assert frames(first) == "ValueError at ; after KeyError at "


def test_the_title_of_a_refused_form_says_so_first(tmp_path: Path) -> None:
    """A screen reader reads the title first, and a tab shows nothing else."""
    with WebKit(tmp_path) as kit:
        kit.unlock()
        case = kit.make_case()
        film = kit.recorder.write_film(case, kit.recipient(case))
        for path, action in (
            ("/cases/new", ""),
            (f"/cases/{case}/word", ""),
            (f"/cases/{case}/films/{film}", f"/cases/{case}/films/{film}/clips"),
            ("/passphrase", ""),
            ("/service", ""),
        ):
            assert "<title>Error" not in kit.browser.get(path).text
            page = kit.browser.submit(path, action=action)
            assert page.status in (400, 403) and "<title>Error: " in page.text, path
