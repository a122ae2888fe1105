"""Unlock, lock, one at a time, and the time that is vouched for."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from flask import Flask, request_finished

from appliance.errors import WrongPassphrase
from appliance.protocol.enrolment import Enrolled
from appliance.protocol.requests import Request, SetTime, Stop
from appliance.records.clock import Vouch
from appliance.records.files import from_json, save_fact
from appliance.records.signing import open_note
from appliance.vault.keys import lock, unlock
from tests.support.pages import NOW, PASSPHRASE, Page, WebKit, locked, practitioner
from web_ui.keeper import Keeper
from web_ui.session.session import (
    IDLE_SECONDS,
    LONGEST_WAIT,
)
from web_ui.system.tls import ensure_certificate, fingerprint


@pytest.fixture
def kit(tmp_path: Path) -> Iterator[WebKit]:
    with WebKit(tmp_path) as made:
        made.enrol()
        yield made


def vouched(kit: WebKit) -> Vouch:
    (request,) = [r for r in kit.recorder.requests() if isinstance(r, SetTime)]
    text, _ = open_note(request.note, [practitioner().card().verifying_key()])
    return from_json(text, Vouch)


def test_the_passphrase_unlocks_and_vouches_for_the_time(kit: WebKit) -> None:
    page = kit.browser.submit(
        "/unlock", passphrase=PASSPHRASE, time="2026-11-21T15:05", offset="60"
    )
    assert page.path == "/cases"
    reading = kit.clock.read()
    assert vouched(kit) == Vouch(
        kit=kit.recorder.status.kit, time=NOW, boot=reading.boot, boottime=reading.boottime
    )
    kit.recorder.carry_out()
    assert "Time not confirmed" not in kit.browser.get("/cases").words


def test_a_time_left_as_it_was_offered_means_the_kits_own_now(kit: WebKit) -> None:
    form = kit.browser.get("/unlock").form("/unlock")
    kit.pass_by(90)
    kit.browser.post("/unlock", dict(form) | {"passphrase": [PASSPHRASE]})
    assert vouched(kit).time == kit.clock.read().wall


@pytest.mark.parametrize("time", ["yesterday", "2026-13-40T99:99", "1970-01-01T00:00:00"])
def test_a_time_that_cannot_be_is_refused_before_anything_is_opened(kit: WebKit, time: str) -> None:
    page = kit.browser.submit("/unlock", passphrase=PASSPHRASE, time=time)
    assert page.status == 400
    assert "time" in page.words
    assert not kit.parts.session.unlocked


def test_a_wrong_passphrase_is_refused_in_words_and_nothing_is_removed(kit: WebKit) -> None:
    page = kit.browser.submit("/unlock", passphrase="not the right one")
    assert page.status == 403
    assert "That passphrase does not open this kit" in page.words
    assert "not the right one" not in page.text
    sealed = kit.home.keys / practitioner().card().name / "identity.age"
    assert sealed.read_bytes() == locked()


def test_after_a_wrong_passphrase_the_next_must_wait_and_then_works(kit: WebKit) -> None:
    kit.browser.submit("/unlock", passphrase="wrong")
    page = kit.browser.submit("/unlock", passphrase=PASSPHRASE)
    assert page.status == 429
    assert "Wait" in page.words and not kit.parts.session.unlocked
    kit.pass_by(1)
    assert kit.browser.submit("/unlock", passphrase=PASSPHRASE).path == "/cases"


OTHER_WORDS = "saddle monsoon gravel bishop turnip easel"


def with_a_colleague(kit: WebKit) -> None:
    """A second practitioner of this kit, under words of their own."""
    enrolled = kit.parts.enrolled
    assert enrolled
    card = practitioner(1).card()
    save_fact(
        kit.home.kit / "enrolled.json",
        Enrolled(service=enrolled.service, practitioners=(*enrolled.practitioners, card)),
    )
    (kit.home.keys / card.name).mkdir()
    sealed = lock(practitioner(1), OTHER_WORDS, work=1)
    (kit.home.keys / card.name / "identity.age").write_bytes(sealed)


def test_a_colleague_at_a_second_browser_is_told_to_wait(kit: WebKit) -> None:
    with_a_colleague(kit)
    kit.unlock()
    other = kit.another_browser()
    assert "This kit is open on another device" in other.get("/unlock").words
    page = other.submit("/unlock", passphrase=OTHER_WORDS)
    assert page.status == 409 and "Someone else has this kit unlocked" in page.words
    assert other.get("/cases").path == "/unlock"
    assert kit.browser.get("/cases").path == "/cases"


def test_the_same_person_goes_on_in_another_browser_and_nothing_of_theirs_is_lost(
    kit: WebKit,
) -> None:
    kit.unlock()
    case = kit.make_case()
    kit.browser.submit(f"/cases/{case}/arm")
    assert kit.recorder.permit()
    kit.recorder.show(state="filming", case=case)
    holder = kit.parts.session.holder
    other = kit.another_browser()
    assert other.submit("/unlock", passphrase=PASSPHRASE, time=NOW.isoformat()).path == "/cases"
    # The session is theirs, with all that was open and under way; the film goes on.
    assert kit.parts.session.holder is holder
    assert holder and case in holder.word_said
    assert kit.recorder.permit() and not [r for r in kit.recorder.requests() if is_stop(r)]
    assert other.get(f"/cases/{case}").status == 200
    assert kit.browser.get("/cases").path == "/unlock", "the old session has ended"
    assert kit.browser.get("/status.json").response.json["locked"] is True


def test_whoever_takes_their_session_over_says_anew_what_time_it_is(kit: WebKit) -> None:
    kit.unlock()
    other = kit.another_browser()
    later = NOW + timedelta(minutes=7)
    kit.pass_by(1)
    other.submit("/unlock", passphrase=PASSPHRASE, time=later.isoformat())
    holder = kit.parts.session.holder
    assert holder and holder.vouch.time == later
    said = [r for r in kit.recorder.requests() if isinstance(r, SetTime)][-1]
    text, _ = open_note(said.note, [practitioner().card().verifying_key()])
    assert from_json(text, Vouch).time == later


def test_a_wrong_passphrase_begins_no_session_and_is_waited_for_like_any_other(kit: WebKit) -> None:
    kit.unlock()
    other = kit.another_browser()
    assert other.submit("/unlock", passphrase="not the right one").status == 403
    assert other.submit("/unlock", passphrase=PASSPHRASE).status == 429
    assert kit.browser.get("/cases").path == "/cases"


def is_stop(request: Request) -> bool:
    return isinstance(request, Stop)


# --- Guesses of strangers -------------------------------------------------------------------------


def guess(kit: WebKit, times: int) -> None:
    """Somebody who has only the Wi-Fi key off the label, as often as they are let."""
    stranger = kit.another_browser()
    for number in range(times):
        status = stranger.submit("/unlock", passphrase=f"a guess, number {number}").status
        assert status == 403
        kit.pass_by(LONGEST_WAIT)


def test_a_stranger_who_guesses_again_and_again_keeps_no_practitioner_out(kit: WebKit) -> None:
    kit.unlock()
    kit.browser.submit("/cases", action="/lock")
    guess(kit, 11)
    # The stranger was first again.
    stranger = kit.another_browser()
    assert stranger.submit("/unlock", passphrase="one more guess").status == 403
    assert stranger.submit("/unlock", passphrase=PASSPHRASE).status == 429
    assert kit.browser.submit("/unlock", passphrase=PASSPHRASE).path == "/cases"


def test_while_a_stranger_guesses_whoever_is_unlocked_changes_their_passphrase(
    kit: WebKit,
) -> None:
    kit.unlock()
    ensure_certificate(kit.home.keys, ())
    assert kit.another_browser().submit("/unlock", passphrase="a guess").status == 403
    assert "Your passphrase was changed" in change(kit).words


def test_a_browser_that_was_paired_waits_after_its_own_wrong_passphrases(kit: WebKit) -> None:
    """Whoever found it in a bag guesses no faster than a stranger."""
    kit.unlock()
    kit.browser.submit("/cases", action="/lock")
    assert kit.browser.submit("/unlock", passphrase="not it").status == 403
    assert kit.browser.submit("/unlock", passphrase=PASSPHRASE).status == 429
    # And keeps out nobody who is new here.
    other = kit.another_browser()
    assert other.submit("/unlock", passphrase=PASSPHRASE, time=NOW.isoformat()).path == "/cases"


def test_a_new_browser_that_must_wait_is_told_which_one_need_not(kit: WebKit) -> None:
    guess(kit, 1)
    stranger = kit.another_browser()
    stranger.submit("/unlock", passphrase="another")
    page = stranger.submit("/unlock", passphrase=PASSPHRASE)
    assert page.status == 429
    assert "A device that has unlocked this kit before does not have to wait" in page.words


def test_each_of_two_practitioners_unlocks_with_their_own_key(tmp_path: Path) -> None:
    kit = WebKit(tmp_path)
    kit.enrol(1, 0)
    kit.unlock()
    case = kit.make_case("Only mine")
    kit.browser.submit("/cases", action="/lock")
    holder = kit.parts.session
    assert not holder.unlocked
    # The other's key lies under a passphrase of its own.
    other = kit.home.keys / practitioner(0).card().name / "identity.age"
    first = kit.home.keys / practitioner(1).card().name / "identity.age"
    first.write_bytes(lock(practitioner(1), OTHER_WORDS, work=1))
    other.write_bytes(locked(0))
    kit.browser.submit("/unlock", passphrase=PASSPHRASE)
    assert "Only mine" not in kit.browser.get("/cases").words
    assert kit.browser.get(f"/cases/{case}").status == 404


def test_a_form_that_the_lock_kept_out_is_said_to_be_lost_and_its_page_comes_back(
    kit: WebKit,
) -> None:
    kit.unlock()
    case = kit.make_case()
    goals = f"/cases/{case}/goals"
    form = kit.browser.get(goals).form(goals)
    kit.pass_by(IDLE_SECONDS)
    page = kit.browser.post(goals, {**form, "goal": "To notice more"})
    assert page.path == "/unlock" and "we could not keep your changes" in page.words
    assert kit.unlock().path == goals
    kit.browser.submit("/cases", action="/lock")
    assert "we could not keep your changes" not in kit.browser.get("/cases").words


def test_after_a_restart_the_page_is_locked(kit: WebKit) -> None:
    kit.unlock()
    kit.start()
    assert kit.browser.get("/cases").path == "/unlock"


def test_a_kit_whose_recorder_never_spoke_does_not_unlock(kit: WebKit) -> None:
    kit.home.status("recorder").unlink()
    page = kit.browser.submit("/unlock", passphrase=PASSPHRASE)
    assert page.status == 503
    assert "kit is still starting" in page.words


def test_the_keeper_removes_requests_that_nobody_carries_out_any_more(kit: WebKit) -> None:
    kit.unlock()
    keeper = Keeper(kit.parts)
    keeper.look()
    assert kit.recorder.requests()
    kit.pass_by(timedelta(minutes=3).total_seconds())
    keeper.look()
    assert not kit.recorder.requests()


NEW = "harbour thistle caravan ember walnut prairie"


def change(kit: WebKit, **fields: str) -> Page:
    told = {"passphrase": PASSPHRASE, "new": NEW, "again": NEW} | fields
    return kit.browser.submit("/passphrase", **told)


def test_a_passphrase_is_changed_on_the_page_and_the_old_one_opens_nothing(kit: WebKit) -> None:
    ensure_certificate(kit.home.keys, ())
    kit.unlock()
    page = change(kit)
    assert "Your passphrase was changed" in page.words
    sealed = (kit.home.keys / practitioner().card().name / "identity.age").read_bytes()
    assert unlock(sealed, NEW).card() == practitioner().card()
    with pytest.raises(WrongPassphrase):
        unlock(sealed, PASSPHRASE)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"again": "something else"}, "two new passphrases are different"),
        ({"new": "robin", "again": "robin"}, "could guess that passphrase"),
        ({"passphrase": "not the right one"}, "does not open this kit"),
    ],
)
def test_a_passphrase_that_cannot_be_changed_stays_as_it_was(
    kit: WebKit, fields: dict[str, str], said: str
) -> None:
    kit.unlock()
    page = change(kit, **fields)
    assert page.status in (400, 403) and said in page.words
    sealed = kit.home.keys / practitioner().card().name / "identity.age"
    assert sealed.read_bytes() == locked()


def test_whoever_finds_the_page_unlocked_cannot_try_passphrases_quickly(kit: WebKit) -> None:
    kit.unlock()
    change(kit, passphrase="not the right one")
    page = change(kit)
    assert page.status == 429
    sealed = kit.home.keys / practitioner().card().name / "identity.age"
    assert sealed.read_bytes() == locked()


def test_the_new_words_that_are_offered_are_kept_nowhere(kit: WebKit) -> None:
    kit.unlock()
    words = kit.browser.get("/passphrase").text.partition('id="words">')[2].partition("<")[0]
    assert len(words.split()) == 6
    kept = b"".join(p.read_bytes() for p in kit.root.rglob("*") if p.is_file())
    assert words.encode() not in kept


def test_before_unlocking_one_can_compare_the_certificate(kit: WebKit) -> None:
    certificate, _key = ensure_certificate(kit.home.keys, ())
    assert fingerprint(certificate) in kit.browser.get("/unlock").words


def test_whoever_unlocks_while_the_lock_before_is_carried_out_is_let_in_by_the_next_process(
    kit: WebKit,
) -> None:
    """The browser sends the same form again, passphrase and all, on a new connection."""
    form = kit.browser.get("/unlock").form("/unlock")
    kit.parts.ending.set()

    def is_the_next_process_now(_app: Flask, **_response: object) -> None:
        kit.parts.ending.clear()

    with request_finished.connected_to(is_the_next_process_now, kit.app):
        page = kit.browser.post("/unlock", {**form, "passphrase": PASSPHRASE})
    (sent_on,) = page.response.history
    assert (sent_on.status_code, sent_on.location) == (307, "/unlock")
    assert sent_on.headers["Connection"] == "close"
    assert page.response.request.method == "POST"


def test_after_a_question_a_lock_and_a_stop_the_page_goes_on_with_the_same_choice(
    kit: WebKit,
) -> None:
    """What stands behind an address's `?` is part of where somebody was."""
    kit.unlock()
    case = kit.make_case()
    film = kit.recorder.write_film(case, kit.recipient(case))
    wanted = {
        f"/cases/{case}/review/notes": "moment=1",
        f"/cases/{case}/films/{film}": "marked=1.5",
        f"/cases/{case}/arm": "kind=review",
    }
    for path, asked in wanted.items():
        kit.browser.submit("/cases", action="/lock")
        kit.browser.get(f"{path}?{asked}")
        page = kit.unlock()
        if page.path == f"/cases/{case}/word":
            page = kit.browser.submit(
                f"{page.path}?{page.response.request.query_string.decode()}",
                action=page.path,
                word="lantern",
            )
        assert (page.path, page.response.request.query_string.decode()) == (path, asked)
        kit.recorder.show(state="filming", case=case, recording=film, limit=300.0, remaining=200.0)
        page = kit.browser.submit(f"{path}?{asked}", action="/stop")
        assert (page.path, page.response.request.query_string.decode()) == (path, asked)
        kit.recorder.show(state="idle", case="", recording="")
