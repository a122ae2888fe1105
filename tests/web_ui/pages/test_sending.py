"""The page "Sending": what waits, what was sent, why it waits, and where the kit is."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from appliance.protocol.roster import Roster
from appliance.protocol.status import AT_BASE_SECONDS, AtBase, EndsSoon, Problem, SyncStatus
from appliance.records.files import load_fact, save_fact
from appliance.records.signing import sign_fact
from appliance.vault.keys import PrivateKeys
from tests.support.pages import NOW, WebKit, service
from web_ui.pages.sending import SILENT_SECONDS, told


@pytest.fixture
def kit(tmp_path: Path) -> Iterator[WebKit]:
    with WebKit(tmp_path) as made:
        made.config = msgspec.structs.replace(made.config, store="file:///srv/attune")
        made.start()
        made.unlock()
        yield made


def status(kit: WebKit | None = None, **changes: Any) -> SyncStatus:
    now = kit.clock.read() if kit else None
    fields: dict[str, Any] = {
        "state": "sending",
        "waiting": 3,
        "waiting_bytes": 60_000_000,
        "sent": 1,
        "sent_bytes": 20_000_000,
        "error": "",
        "problems": (),
        "withdrawn_elsewhere": (),
        "last_confirmed": datetime(2026, 11, 21, 14, 0, tzinfo=UTC),
        "bytes_per_second": 500_000.0,
        "boot": now.boot if now else "",
        "boottime": now.boottime if now else 0.0,
    }
    return SyncStatus(**(fields | changes))


def show(kit: WebKit, **changes: Any) -> str:
    path = kit.home.status("sync")
    path.parent.mkdir(parents=True, exist_ok=True)
    save_fact(path, status(kit, **changes))
    page = kit.browser.get("/sending")
    assert page.status == 200
    return page.words


def test_while_it_sends_the_page_says_how_far_and_how_long(kit: WebKit) -> None:
    words = show(kit)
    assert "Uploading now." in words
    assert "25 percent uploaded" in words
    assert "About 2 minutes left" in words
    assert "3 files, 60 MB" in words
    assert "1 file, 20 MB" in words
    assert "2 small files, less than 0.1 MB" in show(kit, waiting=2, waiting_bytes=900)


def test_when_all_is_there_it_says_so(kit: WebKit) -> None:
    words = show(kit, state="sent", waiting=0, waiting_bytes=0)
    assert "has been uploaded and checked" in words
    assert "percent" not in words


@pytest.mark.parametrize(
    ("state", "error", "said"),
    [
        ("waiting", "not-at-base", "does not recognise this network"),
        ("waiting", "no-network", "no network"),
        ("waiting", "out-of-hours", "only at set times"),
        ("interrupted", "not-reached", "does not answer"),
        ("refused", "wrong-store", "something that is not your service"),
        ("refused", "wrong-time", "not valid on the kit's date"),
        ("refused", "not-let-in", "does not let this kit in"),
        ("refused", "portal-page", "sign in to"),
        ("refused", "wrong-clock", "clock is wrong"),
        ("refused", "wrong-place", "at the address this kit has"),
        ("refused", "access-ended", "has run out"),
        ("refused", "not-supported", "cannot do what"),
        ("refused", "send-refused", "refuses uploads"),
        ("refused", "store-full", "is full"),
        ("refused", "new-code", "(new-code)"),
    ],
)
def test_why_it_waits_is_told_with_what_to_do(
    kit: WebKit, state: str, error: str, said: str
) -> None:
    assert said in show(kit, state=state, error=error)
    with kit.app.test_request_context():
        assert told(status(state=state, error=error), True).hint


def test_what_could_not_be_sent_is_listed_in_words(kit: WebKit) -> None:
    problem = Problem(object="cases/x/y", code="damaged-here")
    words = show(kit, state="incomplete", problems=(problem,))
    assert problem.sentence in words
    assert "cases/x/y" not in words


def test_what_ends_soon_is_told_with_its_day_and_what_to_do(kit: WebKit) -> None:
    ending = EndsSoon(what="credential", at=datetime(2026, 12, 24, 12, 0, tzinfo=UTC))
    words = show(kit, state="sent", ends=(ending,))
    assert "24 December 2026" in words
    assert ending.sentence in words


def test_an_old_status_counts_for_nothing(kit: WebKit) -> None:
    show(kit)
    kit.clock.advance(SILENT_SECONDS + 1)
    kit.recorder.show()
    kit.unlock()
    assert "Uploads are not working" in kit.browser.get("/sending").words
    assert "Uploads are not working" in show(kit, boot="another")


def test_without_a_store_the_page_says_that_there_is_none(tmp_path: Path) -> None:
    with WebKit(tmp_path) as kit:
        kit.unlock()
        assert "no service to upload to" in kit.browser.get("/sending").words


def test_said_to_be_at_base_it_is_until_it_is_taken_back(kit: WebKit) -> None:
    path = kit.home.at_base
    assert not path.exists()
    page = kit.browser.submit("/sending", "/sending/base")
    said = load_fact(path, AtBase)
    assert said is not None
    now = kit.clock.read()
    assert (said.boot, said.boottime) == (now.boot, now.boottime)
    assert "You told the kit it is at base" in page.words
    page = kit.browser.submit("/sending", "/sending/base")
    assert not path.exists()
    assert "I am at base" in page.words


def test_what_was_said_of_base_is_not_shown_for_longer_than_it_holds(kit: WebKit) -> None:
    kit.browser.submit("/sending", "/sending/base")
    kit.clock.advance(AT_BASE_SECONDS + 1)
    kit.unlock()
    assert "You told" not in kit.browser.get("/sending").words


def test_nobody_says_so_who_has_not_unlocked_the_page(tmp_path: Path) -> None:
    with WebKit(tmp_path) as kit:
        kit.enrol()
        assert kit.browser.get("/sending").path != "/sending"
        assert kit.browser.post("/sending/base", {"base": "y"}).path != "/sending"
        assert not kit.home.at_base.exists()


@pytest.mark.parametrize(
    ("left", "said"),
    [
        (timedelta(days=14, hours=5), ""),
        (timedelta(days=14, hours=-5), "has not heard from your service for 76 days. After "
         "90 days it will not film until it has been at base. Take it there and upload before"),
        (timedelta(hours=-5), "has not heard from your service for 90 days. It will "
         "not film until it has been at base."),
    ],
    ids=["in time", "two weeks before", "over"],
)  # fmt: skip
def test_the_page_warns_before_the_kit_has_been_away_for_too_long(
    kit: WebKit, left: timedelta, said: str
) -> None:
    ends = NOW + left
    roster = Roster(number=1, at=ends - timedelta(days=90), ends=ends, people=(), kits=(), left=())
    kit.home.roster.write_text(sign_fact(service().signer, roster))
    page = kit.browser.get("/sending")
    assert (said in page.words) and ("not heard" in page.words) is bool(said)
    # What another service signed says nothing.
    kit.home.roster.write_text(sign_fact(PrivateKeys.generate("service").signer, roster))
    assert "not heard" not in kit.browser.get("/sending").words
