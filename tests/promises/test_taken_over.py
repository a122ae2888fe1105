"""The page is taken over, or the sender: whatever it puts into its own directories, the recorder
goes on, its button works, and nothing is filmed that nobody signed.

The whole recorder but for its lens and its lamp, on a clock that moves when told.
"""

import dataclasses
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from appliance.protocol.objects import revocation_name
from appliance.protocol.permits import Permit
from appliance.protocol.requests import (
    CorrectTime,
    Enrol,
    FactoryReset,
    Preview,
    Remove,
    Renew,
    SetTime,
    Stop,
)
from appliance.protocol.status import State
from appliance.records.clock import Correction, Trust, Vouch
from appliance.records.files import LARGEST_FACT, Fact, new_id, save, to_json
from appliance.records.signing import Signer
from appliance.vault.keys import PrivateKeys
from firmware.books import KitBooks
from firmware.timekeeper import machine_sources
from tests.support.fakes import PRACTITIONER, SERVICE, Stage
from tests.support.strange import STRANGE

WALL = datetime(9999, 12, 31, 23, 59, tzinfo=UTC)
"""The last minute that there is: nothing can be added to it."""


@pytest.fixture
def kit(tmp_path: Path) -> Iterator[Stage]:
    kit = Stage(tmp_path)
    kit.home.prepare(kit.home.inbox, kit.home.at_base.parent)
    yield kit
    kit.close()


def places(kit: Stage) -> list[Path]:
    """Where the page or the sender may put what the recorder reads."""
    home, case = kit.home, kit.home.case(kit.case)
    (case / "withdrawn").mkdir(exist_ok=True)
    return [
        home.permit,
        home.web_requests / f"{new_id()}.json",
        home.web_requests / "no id.json",
        case / "case.json",
        case / "hold",
        case / "withdrawal",
        case / "withdrawn-there",
        case / "withdrawn" / new_id(),
        home.cases / new_id(),
        home.inbox / new_id(),
        home.inbox / revocation_name(PRACTITIONER.card().name),
    ]


def film(kit: Stage) -> str:
    """Film for two seconds and stop with a press; returns its name."""
    kit.arm()
    kit.press()
    assert kit.camera.open
    kit.advance(2)
    kit.down()
    assert not kit.camera.open, "a press did not stop it"
    kit.settle()
    kit.up()
    return kit.status.recording


@pytest.mark.parametrize("what", STRANGE)
def test_whatever_lies_where_the_recorder_looks_it_goes_on(kit: Stage, what: str) -> None:
    film(kit)  # Which holding the button could remove, while all this comes to lie there.
    for path in places(kit):
        path.unlink(missing_ok=True)
        STRANGE[what](path)
        kit.notice()
    kit.advance(1.1)
    assert kit.state is State.IDLE
    # Nothing of it films, and none of it keeps the button from answering.
    kit.press()
    assert kit.state is State.REFUSED and not kit.camera.open
    # Elsewhere than where the order to film lies it keeps nobody from filming another family.
    kit.advance(2.1)
    kit.home.permit.rename(kit.home.permits / "aside")
    kit.case = kit.make_case()
    film(kit)


@pytest.mark.parametrize("what", STRANGE)
def test_whatever_comes_to_lie_there_while_a_film_is_made_a_press_stops_it(
    kit: Stage, what: str
) -> None:
    kit.arm()
    there = places(kit)
    for path in there[1:3] + there[4:5] + there[7:]:
        STRANGE[what](path)
    kit.press()
    assert kit.camera.open
    kit.advance(2)
    assert kit.camera.open
    kit.down()
    assert not kit.camera.open
    kit.settle()
    kit.up()


@pytest.mark.parametrize("what", STRANGE)
def test_whatever_says_that_the_kit_is_at_base_is_believed_only_if_it_says_so(
    kit: Stage, what: str
) -> None:
    STRANGE[what](kit.home.at_base)
    assert not machine_sources(kit.home, kit.clock).from_network


def test_thousands_of_requests_and_cases_hold_up_no_button(kit: Stage) -> None:
    kit.arm()
    kit.press()
    for _ in range(1500):
        (kit.home.cases / new_id()).touch()
        (kit.home.web_requests / f"{new_id()}.json").write_bytes(b"x" * 100)
    asked = [stop(kit, boot="another boot") for _ in range(30)]
    for request in asked:
        save(kit.home.web_requests / f"{request.id}.json", to_json(request))
    kit.notice()
    assert kit.camera.open and len(kit.inbox.answers) <= 10
    kit.down()
    assert not kit.camera.open
    kit.settle()
    kit.up()


@pytest.mark.parametrize("again", ["taken away and put back", "after a hundred others"])
def test_what_waits_for_a_press_and_is_asked_again_under_its_name_is_done_once_or_not_at_all(
    kit: Stage, again: str
) -> None:
    now, stranger = kit.clock.read(), PrivateKeys.generate("practitioner", x25519=True)
    request = Enrol(
        id=new_id(),
        boot=now.boot,
        boottime=now.boottime,
        service=SERVICE.card(),
        practitioner=stranger.card(),
    )
    assert kit.ask(request) == "waiting"
    if again == "taken away and put back":
        (kit.home.web_requests / f"{request.id}.json").unlink()
        kit.notice()
        kit.ask(request)
    else:
        for _ in range(110):
            kit.ask(stop(kit, boot="another boot"))
    kit.press_when_asked()
    kit.advance(2.1)
    enrolled = kit.books.enrolled
    assert enrolled is not None and not kit.camera.open
    assert (stranger.card() in enrolled.practitioners) is (again == "after a hundred others")


@pytest.mark.parametrize("name", ["practitioner-\0", "practitioner-/../../cases"])
def test_a_card_whose_name_is_no_name_of_a_file_is_none(kit: Stage, name: str) -> None:
    now = kit.clock.read()
    request: dict[str, Any] = {
        "attune": "enrol/v1",
        "id": new_id(),
        "boot": now.boot,
        "boottime": now.boottime,
        "service": msgspec.json.decode(to_json(SERVICE.card())),
        "practitioner": msgspec.json.decode(to_json(PRACTITIONER.card())),
    }
    path = kit.home.web_requests / f"{request['id']}.json"
    key = PRACTITIONER.card().verifying_key()
    verifier = str(dataclasses.replace(key, name=name))
    request["practitioner"] |= {"name": name, "verifier": verifier}
    save(path, msgspec.json.encode(request))
    kit.notice()
    assert kit.state is State.IDLE


def test_a_page_that_is_locked_cannot_fill_the_card_with_the_recorders_log(kit: Stage) -> None:
    stranger = Signer.generate("practitioner-stranger")
    kept = kit.vouch_note()
    for note in (kept, kit.vouch_note(stranger), "nothing"):
        for kind in (SetTime, CorrectTime, FactoryReset):
            for _ in range(5):
                now = kit.clock.read()
                kit.ask(kind(id=new_id(), boot=now.boot, boottime=now.boottime, note=note))
    assert sorted(kit.events()) == [
        "reset-refused",
        "reset-refused",
        "time-not-believed",
        "time-vouched",
    ]


def test_a_word_for_the_time_that_a_page_kept_does_not_undo_a_later_one(kit: Stage) -> None:
    right, kept = kit.clock.wall, kit.vouch_note(time=kit.clock.wall + timedelta(days=9))
    for note, believed in ((kept, True), (kit.vouch_note(time=right), False)):
        assert kit.time.vouch(note) is believed
    kit.clock.advance(1)
    now = kit.clock.read()
    said = Correction(kit=kit.books.kit, time=now.wall, boot=now.boot, boottime=now.boottime)
    kit.ask(CorrectTime(id=new_id(), boot=now.boot, boottime=now.boottime, note=signed(said)))
    kit.press_when_asked()
    assert kit.status.now == kit.clock.wall
    assert not kit.time.vouch(kept)
    assert kit.status.now == kit.clock.wall


def stop(kit: Stage, **changes: Any) -> Stop:
    now = kit.clock.read()
    request = Stop(id=new_id(), boot=now.boot, boottime=now.boottime)
    return msgspec.structs.replace(request, **changes)


# --- With a key that is unlocked ----------------------------------------------------------------


def signed(fact: Fact) -> str:
    return PRACTITIONER.signer.sign(to_json(fact).decode() + "\n")


def lies(kit: Stage) -> list[Fact]:
    """Times that cannot be reckoned with."""
    now = kit.clock.read()
    earliest = datetime.min.replace(tzinfo=UTC)
    return [
        kind(kit=kit.books.kit, time=time, boot=now.boot, boottime=boottime)
        for kind in (Vouch, Correction)
        for time in (WALL, earliest, now.wall)
        for boottime in (now.boottime, -1e300, 1e300, -1e11)
        if (time, boottime) != (now.wall, now.boottime)
    ]


def test_a_time_that_cannot_be_reckoned_with_is_not_believed(kit: Stage) -> None:
    now = kit.clock.read()
    mark = kit.books.mark
    for lie in lies(kit):
        for kind in (SetTime, CorrectTime):
            request = kind(id=new_id(), boot=now.boot, boottime=now.boottime, note=signed(lie))
            assert kit.ask(request) == "refused"
    # A mark beyond all time would keep the kit from ever being sure of one again.
    assert kit.status.clock == Trust.TRUSTED.value and kit.books.mark == mark


def test_a_new_kit_is_not_made_sure_of_the_last_day_of_all_time(tmp_path: Path) -> None:
    with closing(Stage(tmp_path)) as kit:
        kit.books.mark = None
        assert not kit.vouch(time=WALL) and kit.books.mark is None
        assert kit.vouch()


def test_orders_to_film_with_endless_names_do_not_fill_the_recorders_books(
    kit: Stage, tmp_path: Path
) -> None:
    for number in range(100):
        kit.arm(id=f"{number:03}" + "x" * 40_000)
        assert kit.state is State.IDLE
        kit.disarm()
    kit.arm()
    kit.disarm()
    assert (kit.home.kit / "books.json").stat().st_size < LARGEST_FACT / 100
    assert KitBooks(kit.home).books == kit.books.books


@pytest.mark.parametrize("field", [f.name for f in msgspec.structs.fields(Permit)])
def test_an_order_to_film_that_lies_in_any_field_is_a_refusal_or_within_bounds(
    kit: Stage, field: str
) -> None:
    for lie in ("", "x" * 60_000, 2**62, -(2**62), 1e300, None, WALL, [], True):
        record = msgspec.json.decode(to_json(kit.permit()))
        record[field] = lie
        kit.place(PRACTITIONER.signer.sign(msgspec.json.encode(record).decode() + "\n"))
        kit.press()
        if kit.camera.open:
            # Nothing that opens the camera rests on these: what was agreed is in the case, and who
            # may have a film removed later only grows shorter.
            assert field in ("consent", "sound", "people") and kit.status.limit <= 3600
            kit.down()
            kit.settle()
            kit.up()
        kit.advance(2.1)


@pytest.mark.parametrize("note", ["", "\n\n", "{}\n\n— x y\n", "x" * 200_000, "[" * 60_000])
def test_a_request_that_carries_no_note_is_refused(kit: Stage, note: str) -> None:
    now = kit.clock.read()
    for kind in (SetTime, CorrectTime, Renew, Remove):
        request = kind(id=new_id(), boot=now.boot, boottime=now.boottime, note=note)
        assert kit.ask(request) in ("refused", "")
    preview = Preview(id=new_id(), boot=now.boot, boottime=now.boottime, open=True)
    assert kit.ask(preview) == "refused" and not kit.camera.open
