"""A kit follows its service's cards by itself, and never goes back to an older one."""

from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

from appliance.protocol.enrolment import Enrolled, Revocation, card_path
from appliance.protocol.objects import (
    revocation_name,
    revocation_object,
    service_card_object,
    service_order_object,
)
from appliance.protocol.orders import ServiceOrder, order_path
from appliance.protocol.readmission import key_path
from appliance.protocol.roster import Roster, roster_object
from appliance.protocol.status import SyncStatus
from appliance.records.files import load_fact, new_id, save
from appliance.records.signing import Signer, sign_fact
from firmware.books import KitBooks
from tests.appliance.protocol.test_cards import DAILY, ROOT, followed, next_card
from tests.support.clocks import NOON
from tests.support.homes import SendingKit, new_store, practitioner, service

SECOND, THIRD = service_card_object(2), service_card_object(3)


@pytest.fixture
def kit(tmp_path: Path) -> SendingKit:
    new_store(tmp_path / "service")
    return SendingKit(tmp_path / "kit", tmp_path / "service")


def put(kit: SendingKit, name: str, note: str) -> None:
    (kit.store / name).parent.mkdir(parents=True, exist_ok=True)
    (kit.store / name).write_text(note)


def faults(status: SyncStatus) -> dict[str, str]:
    return {problem.object: problem.code for problem in status.problems}


def obeyed(kit: SendingKit) -> int:
    """The number of the card that the kit goes by, once its recorder has looked."""
    # The books keep a signing key of their own, which the sender's tests leave out.
    save(kit.home.signing_key, kit.signer.secret_text().encode())
    KitBooks(kit.home).follow()
    known = load_fact(kit.home.enrolled, Enrolled)
    assert known is not None
    return known.chain.number


def test_a_kit_follows_several_cards_at_one_contact(kit: SendingKit) -> None:
    put(kit, SECOND, next_card(service().chain))
    put(kit, THIRD, next_card(followed(), signed_by=ROOT))
    assert kit.sync().state == "sent"
    assert obeyed(kit) == 3
    assert kit.sync().state == "sent"


def test_what_a_new_key_signs_counts_at_the_contact_that_brings_its_card(kit: SendingKit) -> None:
    name = practitioner().card().name
    put(kit, SECOND, next_card(service().chain))
    put(kit, revocation_object(name), sign_fact(DAILY, Revocation(practitioner=name, at=NOON)))
    assert kit.sync().state == "sent"
    save(kit.home.signing_key, kit.signer.secret_text().encode())
    books = KitBooks(kit.home)
    assert books.follow() == (2,) and books.revoke() == (name,)


def test_a_key_that_the_newest_card_leaves_out_revokes_nobody(kit: SendingKit) -> None:
    name = practitioner().card().name
    put(kit, SECOND, next_card(service().chain))
    stolen = sign_fact(service().signer, Revocation(practitioner=name, at=NOON))
    put(kit, revocation_object(name), stolen)
    assert faults(kit.sync()) == {revocation_object(name): "false-order"}


def test_a_card_that_does_not_follow_is_told_and_left_alone(kit: SendingKit) -> None:
    put(kit, SECOND, next_card(service().chain, signed_by=DAILY))
    assert faults(kit.sync()) == {SECOND: "false-card"}
    assert obeyed(kit) == 1
    assert not card_path(kit.home, 2).exists()


def test_a_directory_where_a_card_belongs_holds_nothing_up(kit: SendingKit) -> None:
    case = kit.case().id
    (kit.store / SECOND).mkdir(parents=True)
    assert faults(kit.sync()) == {SECOND: "false-card"}
    assert (kit.store / "cases" / case / "identity-0001.age").exists()


def test_a_store_that_was_rolled_back_is_told_and_its_older_card_never_taken(
    kit: SendingKit,
) -> None:
    put(kit, SECOND, next_card(service().chain))
    kit.sync()
    assert obeyed(kit) == 2
    (kit.store / SECOND).unlink()
    assert faults(kit.sync()) == {SECOND: "older-card"}
    put(kit, SECOND, next_card(service().chain, signing=()))
    assert faults(kit.sync()) == {SECOND: "older-card"}
    assert obeyed(kit) == 2


def test_a_card_that_was_damaged_in_the_inbox_comes_again(kit: SendingKit) -> None:
    put(kit, SECOND, next_card(service().chain))
    kit.sync()
    card_path(kit.home, 2).write_text("rubbish")
    assert kit.sync().state == "sent"
    assert obeyed(kit) == 2


def test_a_card_that_the_recorder_would_not_read_is_followed_by_nobody(kit: SendingKit) -> None:
    note = next_card(service().chain).encode() + "— x".encode() + b"\xff AAAAAAAA\n"
    (kit.store / SECOND).parent.mkdir()
    (kit.store / SECOND).write_bytes(note)
    assert faults(kit.sync()) == {SECOND: "false-card"}
    assert not card_path(kit.home, 2).exists() and obeyed(kit) == 1


# --- After a card that leaves a stolen key out ---------------------------------------------------

STOLEN = service().signer
NAME = practitioner().card().name


def order(kit: SendingKit, number: int, by: Signer) -> str:
    said = ServiceOrder(number=number, kit=kit.id, case=new_id(), film=new_id(), at=NOON)
    return sign_fact(by, said)


def test_the_services_own_order_comes_in_place_of_what_a_stolen_key_signed(
    kit: SendingKit,
) -> None:
    places = [service_order_object(kit.id, number) for number in (1, 2, 3)]
    for number, place in enumerate(places, 1):
        put(kit, place, order(kit, number, STOLEN))
    assert kit.sync().state == "sent"
    save(key_path(kit.home, 1), b"what came for the stolen one")
    put(kit, SECOND, next_card(service().chain))
    own = [order(kit, number, DAILY) for number in (1, 2, 3, 4)]
    put(kit, places[0], own[0])
    put(kit, places[2], order(kit, 2, DAILY))
    put(kit, service_order_object(kit.id, 4), own[3])
    stands = order_path(kit.home, 3).read_text()
    assert kit.sync().state == "sent"
    assert order_path(kit.home, 1).read_text() == own[0]
    assert not key_path(kit.home, 1).exists()
    assert order_path(kit.home, 3).read_text() == stands, "another's number is none for it"
    assert order_path(kit.home, 4).read_text() == own[3]
    put(kit, places[1], own[1])
    kit.sync()
    assert order_path(kit.home, 2).read_text() == own[1]


def test_an_order_that_counts_is_fetched_once_whatever_comes_in_its_place(
    kit: SendingKit,
) -> None:
    first = order(kit, 1, STOLEN)
    put(kit, service_order_object(kit.id, 1), first)
    kit.sync()
    put(kit, service_order_object(kit.id, 1), order(kit, 1, STOLEN))
    kit.sync()
    assert order_path(kit.home, 1).read_text() == first


def test_a_stolen_keys_revocation_keeps_the_services_own_from_nobody(kit: SendingKit) -> None:
    place = revocation_object(NAME)
    put(kit, place, sign_fact(STOLEN, Revocation(practitioner=NAME, at=NOON)))
    kit.sync()
    put(kit, SECOND, next_card(service().chain))
    own = sign_fact(DAILY, Revocation(practitioner=NAME, at=NOON))
    put(kit, place, own)
    assert kit.sync().state == "sent"
    assert (kit.home.inbox / revocation_name(NAME)).read_text() == own


def test_a_stolen_keys_roster_keeps_the_services_own_from_nobody(kit: SendingKit) -> None:
    for number in (1, 9):
        ends = NOON + timedelta(days=90)
        told = Roster(number=number, at=NOON, ends=ends, people=(), kits=(), left=())
        put(kit, roster_object(number), sign_fact(STOLEN, told))
    kit.home.prepare(kit.home.inbox)
    save(kit.home.roster_there, sign_fact(STOLEN, told).encode())
    put(kit, SECOND, next_card(service().chain))
    own = msgspec.structs.replace(told, number=2)
    put(kit, roster_object(2), sign_fact(DAILY, own))
    (kit.store / roster_object(9)).unlink()
    assert kit.sync().state == "sent"
    assert kit.home.roster_there.read_text() == sign_fact(DAILY, own)


@pytest.mark.parametrize(("number", "stays_away"), [(1, True), (0, False)])
def test_a_kit_brings_no_key_file_back_in_whose_place_the_service_has_sealed_another(
    kit: SendingKit, number: int, stays_away: bool
) -> None:
    case = kit.case()
    put(kit, SECOND, next_card(service().chain))
    kit.sync()
    (path,) = (kit.store / "cases" / case.id).glob("identity-*")
    path.unlink()
    path.with_name(f"identity-{number:04}-{followed().slug}.age").write_bytes(b"sealed anew")
    kit.sender().run(compare=True)
    assert path.exists() is not stays_away
