"""One session at a time: how soon another may be tried, and when it ends."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.errors import WrongPassphrase
from tests.support.clocks import FakeClock
from tests.support.pages import WebKit
from web_ui.keeper import Keeper
from web_ui.session.session import (
    IDLE_SECONDS,
    LONGEST_WAIT,
    PUT_OFF_SECONDS,
    Session,
    TooSoon,
)
from web_ui.session.unlocked import Practitioner


@pytest.fixture
def kit(tmp_path: Path) -> Iterator[WebKit]:
    with WebKit(tmp_path) as made:
        made.enrol()
        yield made


def test_the_wait_doubles_with_each_wrong_passphrase_up_to_five_minutes() -> None:
    clock = FakeClock()
    session = Session(clock)
    tries = 0

    def wrong() -> Practitioner:
        nonlocal tries
        tries += 1
        raise WrongPassphrase("no")

    waits = []
    for _turn in range(12):
        with pytest.raises(WrongPassphrase):
            session.begin(wrong)
        with pytest.raises(TooSoon) as refused:
            session.begin(wrong)
        waits.append(refused.value.seconds)
        clock.advance(refused.value.seconds - 0.001)
        with pytest.raises(TooSoon):
            session.begin(wrong)
        clock.advance(0.001)
    assert waits == [min(2.0**n, LONGEST_WAIT) for n in range(12)]
    assert tries == 12, "no passphrase is tried before its time"


def test_guessing_for_years_makes_no_number_too_large() -> None:
    clock = FakeClock()
    session = Session(clock)

    def wrong() -> Practitioner:
        raise WrongPassphrase("no")

    for _turn in range(1100):
        with pytest.raises(WrongPassphrase):
            session.begin(wrong)
        clock.advance(LONGEST_WAIT)


def test_locking_is_at_once(kit: WebKit) -> None:
    kit.unlock()
    assert kit.browser.submit("/cases", action="/lock").path == "/unlock"
    assert not kit.parts.session.unlocked
    assert kit.browser.get("/cases").path == "/unlock"


def test_ten_minutes_without_use_lock_the_page_and_not_a_second_less(kit: WebKit) -> None:
    keeper = Keeper(kit.parts)
    kit.unlock()
    kit.pass_by(IDLE_SECONDS - 1)
    keeper.look()
    assert kit.parts.session.unlocked
    kit.browser.get("/cases")
    kit.pass_by(IDLE_SECONDS - 1)
    keeper.look()
    assert kit.parts.session.unlocked
    kit.pass_by(1)
    keeper.look()
    assert not kit.parts.session.unlocked


def test_the_script_that_keeps_the_line_fresh_is_no_sign_of_use(kit: WebKit) -> None:
    kit.unlock()
    kit.pass_by(IDLE_SECONDS - 1)
    assert kit.browser.get("/status.json").response.json["locked"] is False
    kit.pass_by(1)
    assert kit.browser.get("/status.json").response.json["locked"] is True


def test_filming_puts_the_lock_off_for_ninety_minutes_and_no_longer(kit: WebKit) -> None:
    keeper = Keeper(kit.parts)
    kit.unlock()
    began = kit.clock.monotonic()
    kit.recorder.show(state="filming")
    while kit.clock.monotonic() - began < PUT_OFF_SECONDS - 300:
        kit.pass_by(300)
        keeper.look()
        assert kit.parts.session.unlocked
    kit.pass_by(300)
    keeper.look()
    assert not kit.parts.session.unlocked


def test_watching_a_film_puts_the_lock_off(kit: WebKit) -> None:
    kit.unlock()
    for _turn in range(4):
        kit.pass_by(IDLE_SECONDS - 1)
        kit.browser.get("/status.json?watching")
    assert kit.parts.session.unlocked
