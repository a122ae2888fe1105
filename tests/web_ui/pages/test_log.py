"""The log in words: what happened, whether it holds, and no word of a family."""

import ast
from typing import cast, get_args

import msgspec
import pytest

from appliance.casework.consent import Consent
from appliance.casework.copies import CopyRefusal, judge
from appliance.film.manifest import read_manifest
from appliance.protocol.requests import Stop
from appliance.records.audit import Event, Log
from appliance.records.clock import SystemClock
from firmware.logs.checkpoints import Checkpoints
from tests.support.pages import CONSENT, NOW, WebKit
from tests.support.places import PACKAGES, ROOT
from tests.support.strange import STRANGE
from web_ui.wording.log_events import WORDS


def test_the_log_says_in_words_what_was_done_and_to_which_case(kit: WebKit) -> None:
    case = kit.make_case("The name of the family")
    kit.browser.submit(f"/cases/{case}/arm")
    page = kit.browser.get("/log")
    for words in ("Page unlocked", "Consent recorded", "Button turned on: ready to film"):
        assert words in page.words
    assert f"family {case[:4]}" in page.words
    assert "The name of the family" not in page.words and "Alex" not in page.words


def test_the_log_says_why_a_film_ended_and_why_a_press_was_refused(kit: WebKit) -> None:
    log = Log(kit.home.log("recorder"), SystemClock())
    log.write("film-ended", recording="abcdefgh23456789", why="limit")
    log.write("refused", reason="no-permit")
    page = kit.browser.get("/log").words
    assert "film abcd. Stopped at the agreed time." in page
    assert "because" not in page and "Nothing is agreed for today yet." in page


def test_what_happens_again_and_again_is_one_line_and_hides_nothing_between(kit: WebKit) -> None:
    log = Log(kit.home.log("sync"), SystemClock())
    for event in ("confirmed", "confirmed", "confirmed", "revocation-received", "confirmed"):
        log.write(event, object="0000.mp4.age")
    page = kit.browser.get("/log").words
    once, word, thrice = (
        page.index("File uploaded and confirmed Uploads"),
        page.index("Update about a practitioner received from the service"),
        page.index("File uploaded and confirmed (3 times)"),
    )
    assert once < word < thrice


def test_no_event_that_the_page_writes_is_left_without_words(kit: WebKit) -> None:
    case = kit.make_case()
    kit.browser.submit(f"/cases/{case}/arm")
    kit.browser.submit(f"/cases/{case}", f"/cases/{case}/newcomer")
    kit.browser.submit(f"/cases/{case}/withdraw", confirm="y")
    assert "Event:" not in kit.browser.get("/log").words


def test_every_event_has_words_and_every_event_happens_somewhere() -> None:
    assert set(WORDS) == set(get_args(Event))
    assert len(set(WORDS.values())) == len(WORDS), "two events are told apart"
    said = {
        node.value
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
        if path.name not in ("audit.py", "log_events.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    assert set(WORDS) <= said


def test_every_event_is_told_in_words_and_one_of_another_version_by_its_code(kit: WebKit) -> None:
    log = Log(kit.home.log("sync"), SystemClock())
    for event in get_args(Event):
        log.write(event)
    pages = [kit.browser.get(f"/log?page={page}").words for page in (1, 2)]
    for words in WORDS.values():
        assert any(words in page for page in pages), words
    assert not any("Event:" in page for page in pages)
    log.write(cast(Event, "of-another-version"))
    assert "Event: of-another-version" in kit.browser.get("/log").words


def test_what_the_recorder_signed_is_shown_and_what_was_altered_is_named(kit: WebKit) -> None:
    kit.make_case()
    assert "not signed yet" in kit.browser.get("/log").words
    Checkpoints(kit.home, kit.recorder.signer, SystemClock()).sign()
    page = kit.browser.get("/log").words
    assert "signed up to" in page and "Log has been changed or damaged" not in page
    log = kit.home.log("web") / "log"
    log.write_bytes(log.read_bytes().replace(b'"unlocked"', b'"unlockod"'))
    page = kit.browser.get("/log").words
    assert "Page: Log has been changed or damaged The log is broken at line 2" in page


@pytest.mark.parametrize("what", STRANGE)
def test_what_another_process_plants_in_the_place_of_its_log_is_named_and_hides_no_other(
    kit: WebKit, what: str
) -> None:
    Log(kit.home.log("sync"), SystemClock()).write("confirmed")
    Checkpoints(kit.home, kit.recorder.signer, SystemClock()).sign()
    log = kit.home.log("sync") / "log"
    log.unlink()
    STRANGE[what](log)
    page = kit.browser.get("/log").words
    assert "Uploads: Log has been changed or damaged" in page and "Page unlocked" in page


def test_a_long_log_is_read_page_by_page(kit: WebKit) -> None:
    for number in range(130):
        kit.parts.note("locked", code=str(number))
    first, second = kit.browser.get("/log"), kit.browser.get("/log?page=2")
    assert "because 129" in first.words and "Older" in first.words
    assert "because 129" not in second.words and "Newer" in second.words
    assert "because 3 " in second.words and "because 3 " not in first.words
    for odd in ("0", "-1", "x", "99999999"):
        assert kit.browser.get(f"/log?page={odd}").status == 200


def test_a_locked_page_shows_no_log(kit: WebKit) -> None:
    kit.browser.submit("/cases", action="/lock")
    assert kit.browser.get("/log").path == "/unlock"


def test_somebody_new_disarms_the_kit_stops_the_film_and_leads_to_the_consent(kit: WebKit) -> None:
    case = kit.make_case()
    kit.browser.submit(f"/cases/{case}/arm")
    kit.recorder.show(state="filming", case=case, recording="abcdefghijklmnop")
    page = kit.browser.submit(f"/cases/{case}", f"/cases/{case}/newcomer")
    assert page.path == f"/cases/{case}/consent"
    assert kit.recorder.permit() is None
    assert [r for r in kit.recorder.requests() if isinstance(r, Stop)]
    assert "Someone new came in" in kit.browser.get("/log").words


def test_nothing_of_a_film_into_which_somebody_came_is_copied_until_they_were_asked(
    kit: WebKit,
) -> None:
    agreed = {"people__0__purposes": ["filming", "copies"]}
    case = kit.make_case(**agreed)
    opened = kit.open_case(case)
    found = opened.read_with_digest(Consent)
    assert found
    film = kit.recorder.write_film(case, kit.recipient(case))
    started = read_manifest(kit.home.recording(film)).started
    started = msgspec.structs.replace(started, consent=found[1])
    assert judge(opened, started, NOW) is None
    kit.browser.submit(f"/cases/{case}/arm")
    kit.recorder.show(state="filming", case=case, recording=film)
    kit.browser.submit(f"/cases/{case}", f"/cases/{case}/newcomer")
    assert judge(opened, started, NOW) is CopyRefusal.NOT_EVERYBODY
    kit.pass_by(1)
    both = CONSENT | agreed | {"people__1__name": "Sam", "people__1__relation": "uncle"}
    both |= {"people__1__speaks_as": "adult", "people__1__authority": ""}
    page = kit.browser.consent(case, **both, people__1__purposes=["filming", "copies"])
    assert page.path == f"/cases/{case}/arm", page.words
    assert judge(opened, started, NOW) is None
