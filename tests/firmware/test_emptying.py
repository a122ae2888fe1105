"""A film whose sealed files leave the card: only with all that is asked for, and no other film."""

import re
import shutil
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from appliance.config import Config
from appliance.film.manifest import read_manifest
from appliance.protocol.emptying import (
    FILMS_READ,
    MOST_NAMED,
    EmptyingRefusal,
    FilmEmptied,
    FilmsRead,
    is_emptied,
)
from appliance.protocol.objects import film_object
from appliance.protocol.orders import LARGEST, FilmWithdrawal, HoldNotice, Tombstone, Withdrawal
from appliance.protocol.receipts import Receipt, receipt_path
from appliance.protocol.roster import Roster
from appliance.records.audit import check_chain
from appliance.records.files import load_fact, new_id, read_text, save, save_fact
from appliance.records.signing import Signer, open_fact, sign_fact
from appliance.vault.keys import PrivateKeys
from firmware.removing import Removals
from tests.support.clocks import NOON
from tests.support.emptying import (
    ask,
    confirm,
    make_film,
    manifest_digest,
    now,
    on_card,
    order,
    say_read,
)
from tests.support.fakes import PRACTITIONER, SERVICE, Stage
from tests.support.places import ROOT

STRANGER = PrivateKeys.generate("practitioner", x25519=True)


@pytest.fixture
def kit(tmp_path: Path) -> Iterator[Stage]:
    kit = Stage(tmp_path, emptying=True)
    yield kit
    kit.close()


@pytest.fixture
def film(kit: Stage) -> str:
    """A film that may leave the card."""
    film = make_film(kit)
    confirm(kit.home, kit.case, film)
    say_read(kit, film)
    return film


def refusals(kit: Stage) -> list[str]:
    log = check_chain((kit.home.log("recorder") / "log").read_bytes())
    return [entry.ids["reason"] for entry in log if entry.event == "emptying-refused"]


def restarted(kit: Stage, emptying: bool = True) -> Removals:
    removals = Removals(kit.home, kit.books, kit.log, lambda: kit.time.now, emptying)
    removals.finish()
    return removals


def test_a_film_that_the_service_just_read_leaves_the_card_on_its_teams_order(
    kit: Stage, film: str
) -> None:
    other = make_film(kit)
    before, digest = on_card(kit.home, other), manifest_digest(kit.home, film)
    assert ask(kit, order(kit, film)) == "done"
    assert on_card(kit.home, film) == {"manifest": digest}, "the manifest alone stays"
    assert on_card(kit.home, other) == before
    note = read_text(kit.home.emptied / film)
    said, _ = open_fact(note, [kit.books.signer.verifier], FilmEmptied)
    assert (said.recording, said.case, said.manifest) == (film, kit.case, digest)
    assert "film-emptied" in kit.events() and not refusals(kit)
    # Asked once more it is the same, and told.
    assert ask(kit, order(kit, film)) == "refused"
    assert refusals(kit) == [EmptyingRefusal.NO_FILM.value]


def test_no_shipped_setting_lets_a_film_leave_the_card(tmp_path: Path) -> None:
    assert Config().emptying is False
    shipped = [ROOT / "appliance/selftest", ROOT / "systemd", ROOT / "tools", ROOT / "docs"]
    files = [path for folder in shipped for path in folder.rglob("*") if path.is_file()]
    switch = re.compile(rb"^\s*emptying\s*=", re.MULTILINE)
    assert not [path for path in files if switch.search(path.read_bytes())]
    kit = Stage(tmp_path)
    film = make_film(kit)
    confirm(kit.home, kit.case, film)
    say_read(kit, film)
    before = on_card(kit.home, film)
    assert ask(kit, order(kit, film)) == "refused"
    assert on_card(kit.home, film) == before and not is_emptied(kit.home, film)
    assert refusals(kit) == [EmptyingRefusal.OFF.value]
    kit.close()


def hold(kit: Stage, film: str) -> None:
    notice = HoldNotice(
        case=kit.case,
        signer=PRACTITIONER.signer.verifier.name,
        since=NOON,
        until=NOON + timedelta(days=90),
    )
    save(kit.home.case(kit.case).hold, sign_fact(PRACTITIONER.signer, notice).encode())


def held_by_the_service(kit: Stage, film: str) -> None:
    stone = Tombstone(order=new_id(), case=kit.case, at=NOON, removed=(), held=True)
    save(kit.home.case(kit.case).withdrawn_there, sign_fact(SERVICE.signer, stone).encode())


def take_film_back(kit: Stage, film: str) -> None:
    folder = kit.home.case(kit.case).film_orders
    folder.mkdir()
    back = FilmWithdrawal(
        id=new_id(), case=kit.case, kit=kit.books.kit, film=film, clips=(), at=NOON
    )
    # Of somebody whose order removes nothing here.
    save(folder / film, sign_fact(STRANGER.signer, back).encode())


def take_all_back(kit: Stage, film: str) -> None:
    back = Withdrawal(id=new_id(), case=kit.case, kit=kit.books.kit, at=NOON)
    save(kit.home.case(kit.case).withdrawal, sign_fact(STRANGER.signer, back).encode())


def lose_a_receipt(kit: Stage, film: str, file: str) -> None:
    receipt_path(kit.home, film_object(kit.case, film, file)).unlink()


def alter_manifest(kit: Stage, film: str) -> None:
    path = kit.home.recording(film) / "manifest"
    path.write_bytes(path.read_bytes().replace(b'"sound":true', b'"sound":false'))


def confirm_other_bytes(kit: Stage, film: str) -> None:
    path = receipt_path(kit.home, film_object(kit.case, film, "0000.mp4.age"))
    receipt = load_fact(path, Receipt)
    assert receipt is not None
    save_fact(path, msgspec.structs.replace(receipt, sha256="0" * 64))


def end_the_roster(kit: Stage, film: str) -> None:
    """The service has been silent for too long."""
    ends = now(kit) - MOMENT
    told = Roster(number=1, at=ends, ends=ends, people=(), kits=(), left=())
    save(kit.home.roster_there, sign_fact(SERVICE.signer, told).encode())
    assert kit.books.take_roster()


Prepare = Callable[[Stage, str], Any]
DAY, WEEK = timedelta(days=1), timedelta(days=7)
MOMENT = timedelta(minutes=1)
DOUBTS: dict[str, tuple[EmptyingRefusal, Prepare]] = {
    "a hold": (EmptyingRefusal.HELD, hold),
    "a hold that cannot be read": (
        EmptyingRefusal.HELD,
        lambda kit, film: kit.home.case(kit.case).hold.write_bytes(b"\xff"),
    ),
    "a hold of the service": (EmptyingRefusal.HELD, held_by_the_service),
    "the film taken back": (EmptyingRefusal.CLOSED, take_film_back),
    "all of it taken back": (EmptyingRefusal.CLOSED, take_all_back),
    "a case that was closed": (
        EmptyingRefusal.CLOSED,
        lambda kit, film: kit.books.close(kit.case),
    ),
    "a case that says so": (
        EmptyingRefusal.CLOSED,
        lambda kit, film: kit.write_case(kit.case, "withdrawn"),
    ),
    "a case without its record": (
        EmptyingRefusal.CLOSED,
        lambda kit, film: (kit.home.case(kit.case) / "case.json").unlink(),
    ),
    "a segment that is not confirmed": (
        EmptyingRefusal.NOT_CONFIRMED,
        lambda kit, film: lose_a_receipt(kit, film, "0000.mp4.age"),
    ),
    "a manifest that is not confirmed": (
        EmptyingRefusal.NOT_CONFIRMED,
        lambda kit, film: lose_a_receipt(kit, film, "manifest"),
    ),
    "a receipt for other bytes": (EmptyingRefusal.NOT_CONFIRMED, confirm_other_bytes),
    "no receipt at all": (
        EmptyingRefusal.NOT_CONFIRMED,
        lambda kit, film: shutil.rmtree(kit.home.receipts),
    ),
    "no word of the service": (
        EmptyingRefusal.NOT_READ,
        lambda kit, film: (kit.home.inbox / FILMS_READ).unlink(),
    ),
    "a word that is too old": (
        EmptyingRefusal.NOT_READ,
        lambda kit, film: say_read(kit, film, at=now(kit) - WEEK - MOMENT),
    ),
    "a word of days to come": (
        EmptyingRefusal.NOT_READ,
        lambda kit, film: say_read(kit, film, at=now(kit) + timedelta(hours=2)),
    ),
    "a word about another kit": (
        EmptyingRefusal.NOT_READ,
        lambda kit, film: say_read(kit, film, kit=new_id()),
    ),
    "a word about another film": (
        EmptyingRefusal.NOT_READ,
        lambda kit, film: say_read(kit, film, films={new_id(): manifest_digest(kit.home, film)}),
    ),
    "a word about other bytes": (
        EmptyingRefusal.NOT_READ,
        lambda kit, film: say_read(kit, film, films={film: "0" * 64}),
    ),
    "a practitioner's word that it was read": (
        EmptyingRefusal.NOT_READ,
        lambda kit, film: say_read(kit, film, PRACTITIONER.signer),
    ),
    "the kit's own word that it was read": (
        EmptyingRefusal.NOT_READ,
        lambda kit, film: say_read(kit, film, kit.books.signer),
    ),
    "a clock in doubt": (
        EmptyingRefusal.CLOCK_NOT_SET,
        lambda kit, film: setattr(kit.clock, "boot", "another boot"),
    ),
    "a service that is silent": (EmptyingRefusal.KIT_AWAY, end_the_roster),
    "a manifest that somebody altered": (EmptyingRefusal.NO_FILM, alter_manifest),
}


@pytest.mark.parametrize("why", DOUBTS)
def test_what_is_in_doubt_keeps_the_film(kit: Stage, film: str, why: str) -> None:
    refusal, prepare = DOUBTS[why]
    asked = order(kit, film)
    prepare(kit, film)
    before = on_card(kit.home, film)
    assert not kit.removals.ordered(asked)
    assert on_card(kit.home, film) == before and not is_emptied(kit.home, film)
    assert refusals(kit) == [refusal.value] and refusal.sentence


ORDERS: dict[str, tuple[EmptyingRefusal, Signer, Callable[[Stage], dict[str, Any]]]] = {
    "of a stranger": (EmptyingRefusal.NOT_SIGNED, STRANGER.signer, lambda kit: {}),
    "of the service": (EmptyingRefusal.NOT_SIGNED, SERVICE.signer, lambda kit: {}),
    "for another kit": (
        EmptyingRefusal.NOT_SIGNED,
        PRACTITIONER.signer,
        lambda kit: {"kit": new_id()},
    ),
    "for another case": (
        EmptyingRefusal.NO_FILM,
        PRACTITIONER.signer,
        lambda kit: {"case": kit.make_case()},
    ),
    "of another day": (
        EmptyingRefusal.OLD_ORDER,
        PRACTITIONER.signer,
        lambda kit: {"at": now(kit) - DAY - MOMENT},
    ),
    "of a day to come": (
        EmptyingRefusal.OLD_ORDER,
        PRACTITIONER.signer,
        lambda kit: {"at": now(kit) + timedelta(hours=2)},
    ),
    "for another film": (
        EmptyingRefusal.NO_FILM,
        PRACTITIONER.signer,
        lambda kit: {"film": new_id()},
    ),
    "for other bytes": (
        EmptyingRefusal.NO_FILM,
        PRACTITIONER.signer,
        lambda kit: {"manifest": "0" * 64},
    ),
    "for no name": (EmptyingRefusal.NO_FILM, PRACTITIONER.signer, lambda kit: {"film": "../x"}),
    "for all of them": (EmptyingRefusal.NO_FILM, PRACTITIONER.signer, lambda kit: {"film": ""}),
    "for a film seen before it was made": (
        EmptyingRefusal.NOT_SEEN,
        PRACTITIONER.signer,
        lambda kit: {"seen": now(kit) - DAY},
    ),
    "for a film to be seen later": (
        EmptyingRefusal.NOT_SEEN,
        PRACTITIONER.signer,
        lambda kit: {"seen": now(kit) + MOMENT},
    ),
}


@pytest.mark.parametrize("kind", ORDERS)
def test_another_order_keeps_the_film(kit: Stage, film: str, kind: str) -> None:
    refusal, signer, changes = ORDERS[kind]
    before = on_card(kit.home, film)
    assert ask(kit, order(kit, film, signer, **changes(kit))) == "refused"
    assert on_card(kit.home, film) == before and not is_emptied(kit.home, film)
    assert refusals(kit) == [refusal.value]


def test_a_film_that_this_kit_has_not_signed_stays(kit: Stage) -> None:
    film = make_film(kit)
    path = kit.home.recording(film) / "manifest"
    text = path.read_text().rpartition("\n\n")[0] + "\n"
    path.write_text(Signer.generate(kit.books.signer.verifier.name).sign(text))
    confirm(kit.home, kit.case, film)
    say_read(kit, film)
    assert ask(kit, order(kit, film)) == "refused"
    assert refusals(kit) == [EmptyingRefusal.NO_FILM.value]


def test_a_colleague_of_other_families_takes_no_film_of_this_one_off(kit: Stage, film: str) -> None:
    kit.books.enrol(SERVICE.card(), STRANGER.card())
    assert ask(kit, order(kit, film, STRANGER.signer)) == "refused"
    assert refusals(kit) == [EmptyingRefusal.NOT_OF_TEAM.value]


def test_the_last_moment_of_seven_days_still_counts(kit: Stage, film: str) -> None:
    say_read(kit, film, at=now(kit) - WEEK + MOMENT)
    assert ask(kit, order(kit, film)) == "done"


def test_such_an_order_counts_nowhere_but_where_somebody_asks(kit: Stage, film: str) -> None:
    before, note = on_card(kit.home, film), order(kit, film)
    folder = kit.home.case(kit.case).film_orders
    folder.mkdir()
    for path in (kit.home.inbox / new_id(), folder / new_id()):
        save(path, note.encode())
    kit.notice()
    kit.advance(1.1)
    assert on_card(kit.home, film) == before


def test_nothing_leaves_the_card_while_a_film_is_made(kit: Stage, film: str) -> None:
    note, before = order(kit, film), on_card(kit.home, film)
    kit.arm()
    kit.press()
    assert ask(kit, note) == "refused" and on_card(kit.home, film) == before
    kit.press()
    kit.settle()


def test_what_a_pulled_plug_cut_short_is_finished_at_the_next_start(kit: Stage, film: str) -> None:
    sealed = {
        path.name: path.read_bytes()
        for path in kit.home.recording(film).iterdir()
        if path.name != "manifest"
    }
    assert ask(kit, order(kit, film)) == "done"
    for name, data in list(sealed.items())[1:]:
        (kit.home.recording(film) / name).write_bytes(data)
    restarted(kit, emptying=False)  # Also where root has switched it off since.
    assert set(on_card(kit.home, film)) == {"manifest"}
    # A note that the kit did not sign finishes nothing.
    other = make_film(kit)
    before = on_card(kit.home, other)
    said, _ = open_fact(
        read_text(kit.home.emptied / film), [kit.books.signer.verifier], FilmEmptied
    )
    for signer in (PRACTITIONER.signer, kit.books.signer):
        save(kit.home.emptied / other, sign_fact(signer, said).encode())
        restarted(kit)
        assert on_card(kit.home, other) == before


def test_a_note_without_its_film_keeps_no_recorder_from_starting(kit: Stage, film: str) -> None:
    assert ask(kit, order(kit, film)) == "done"
    (kit.home.recording(film) / "manifest").rename(kit.home.recording(film) / "0000.mp4.age")
    restarted(kit)
    assert set(on_card(kit.home, film)) == {"0000.mp4.age"}


def test_a_withdrawal_takes_what_is_left_of_an_emptied_film(kit: Stage, film: str) -> None:
    assert ask(kit, order(kit, film)) == "done"
    assert read_manifest(kit.home.recording(film), [kit.books.signer.verifier]).ended
    back = Withdrawal(id=new_id(), case=kit.case, kit=kit.books.kit, at=now(kit))
    assert kit.removals.ordered(sign_fact(PRACTITIONER.signer, back))
    assert not kit.home.recording(film).exists()
    assert (kit.home.removed / film).exists()


def test_a_locked_page_that_asks_for_ever_fills_no_log(kit: Stage, film: str) -> None:
    for _ in range(20):
        kit.removals.ordered(order(kit, film, STRANGER.signer))
    assert refusals(kit) == [EmptyingRefusal.NOT_SIGNED.value]


def test_as_many_films_as_one_word_names_fit_into_a_note() -> None:
    read = FilmsRead(
        kit=new_id(), at=NOON, films={new_id(): f"{n:064x}" for n in range(MOST_NAMED)}
    )
    assert len(sign_fact(SERVICE.signer, read)) < LARGEST
