"""What the recorder remembers from one day to the next, and what it will not go on without."""

import shutil
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

from appliance.age.identities import generate_identity
from appliance.errors import BadFile
from appliance.protocol.cards import KitCard, ServiceCard, SigningKey
from appliance.protocol.enrolment import card_path
from appliance.protocol.permits import PressRefusal
from appliance.protocol.roster import Left, Roster, RosterKit
from appliance.protocol.status import State
from appliance.records.files import Home, new_id, save
from appliance.records.signing import sign_fact
from appliance.vault.keys import PrivateKeys
from firmware.books import _REMEMBERED, KitBooks
from firmware.recorder import REFUSAL_SHOWN
from tests.support.clocks import NOON
from tests.support.fakes import PRACTITIONER, SERVICE, Stage


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home", tmp_path / "run")


def test_a_kit_is_the_same_kit_after_each_start(home: Home) -> None:
    first, again = KitBooks(home), KitBooks(home)
    assert (again.kit, str(again.signer.verifier)) == (first.kit, str(first.signer.verifier))


def test_a_kit_that_lost_its_key_says_so_and_makes_no_other(home: Home) -> None:
    KitBooks(home)
    key = home.kit / "signing.key"
    key.unlink()
    with pytest.raises(BadFile, match="lost its signing key"):
        KitBooks(home)
    assert not key.exists()


def test_a_key_beside_the_card_of_another_kit_is_refused(home: Home, tmp_path: Path) -> None:
    other = Home(tmp_path / "other", tmp_path / "run")
    KitBooks(home)
    KitBooks(other)
    (other.kit / "kit.json").rename(home.kit / "kit.json")
    with pytest.raises(BadFile, match="do not belong together"):
        KitBooks(home)


def test_the_newest_permits_are_remembered_and_counted_on(home: Home, tmp_path: Path) -> None:
    stage = Stage(tmp_path / "stage")
    permit, books = stage.permit(), KitBooks(home)
    stage.close()
    names = [new_id() for _ in range(_REMEMBERED + 1)]
    for name in names:
        books.count_film(msgspec.structs.replace(permit, id=name), None)
        books.disarm(name)
    books.count_film(msgspec.structs.replace(permit, id=names[1]), None)
    kept = KitBooks(home).books
    assert kept.films == {name: 1 + (name == names[1]) for name in names[1:]}
    assert kept.disarmed == tuple(names[1:])
    assert set(kept.recipients) == {permit.case}


# --- The service's roster -----------------------------------------------------------------------

OTHER = PrivateKeys.generate("service", x25519=True)


@pytest.fixture
def kit(tmp_path: Path) -> Iterator[Stage]:
    stage = Stage(tmp_path)
    stage.home.prepare(stage.home.inbox)
    yield stage
    stage.close()


def roster(kit: Stage, number: int, by: PrivateKeys = SERVICE, **changes: object) -> None:
    """What sync brings in; it ends in an hour."""
    ends = NOON + timedelta(hours=1)
    told = Roster(number=number, at=NOON, ends=ends, people=(), kits=(), left=())
    note = sign_fact(by.signer, msgspec.structs.replace(told, **changes))
    save(kit.home.roster_there, note.encode())


def pressed(kit: Stage) -> str:
    """Arm the kit and press; returns why nothing is filmed, '' if it films."""
    kit.arm()
    kit.press()
    why = "" if kit.state is State.FILMING else kit.status.reason
    if not why:
        kit.press()
    kit.advance(REFUSAL_SHOWN + 1.1)
    return why


def test_a_kit_of_a_service_without_a_roster_films_as_ever(kit: Stage) -> None:
    assert pressed(kit) == "" and not kit.home.roster.exists()


def test_a_kit_films_until_its_roster_ends_and_again_once_a_newer_one_came(kit: Stage) -> None:
    roster(kit, 1)
    assert pressed(kit) == ""
    kit.advance(3600)
    assert pressed(kit) == "roster-over"
    # Whoever takes it away again changes nothing.
    kit.home.roster_there.unlink()
    assert pressed(kit) == "roster-over"
    roster(kit, 2, ends=NOON + timedelta(days=9))
    kit.advance(1.1)
    assert pressed(kit) == ""


def test_an_older_roster_or_anothers_never_counts_again(kit: Stage) -> None:
    roster(kit, 2, ends=NOON)
    assert pressed(kit) == "roster-over"
    later = NOON + timedelta(days=9)
    roster(kit, 1, ends=later)
    assert pressed(kit) == "roster-over"
    roster(kit, 3, PRACTITIONER, ends=later)
    assert pressed(kit) == "roster-over"
    kit.home.roster_there.write_bytes(b"rubbish")
    assert pressed(kit) == "roster-over"
    assert KitBooks(kit.home).away(NOON + timedelta(days=1)) is PressRefusal.ROSTER_OVER


def test_a_roster_that_the_card_has_damaged_films_nothing_until_the_next(kit: Stage) -> None:
    roster(kit, 1)
    assert pressed(kit) == ""
    kit.home.roster.write_bytes(b"rubbish")
    assert KitBooks(kit.home).away(NOON) is PressRefusal.ROSTER_OVER
    roster(kit, 2)
    again = KitBooks(kit.home)
    assert again.take_roster() and again.away(NOON) is None


def test_whoever_left_by_the_roster_is_obeyed_no_more_and_comes_in_again_by_no_press(
    kit: Stage,
) -> None:
    name = PRACTITIONER.card().name
    roster(kit, 1, left=(Left(practitioner=name, since=NOON),))
    kit.advance(1.1)
    enrolled = kit.books.enrolled
    assert enrolled is not None and enrolled.practitioners == ()
    assert [card.name for card in enrolled.former] == [name]
    assert "revoked" in kit.events()
    kit.books.enrol(SERVICE.card(), PRACTITIONER.card())
    kit.advance(1.1)
    assert kit.books.enrolled is not None and kit.books.enrolled.practitioners == ()


def test_a_kit_that_its_service_has_written_down_as_lost_films_nothing(kit: Stage) -> None:
    card = KitCard(id=kit.books.kit, verifier=str(kit.books.signer.verifier))
    roster(kit, 1, kits=(RosterKit(card=card, lost=NOON),))
    assert pressed(kit) == "kit-lost"
    roster(kit, 2, kits=(RosterKit(card=card),))
    kit.advance(1.1)
    assert pressed(kit) == ""


def test_a_kit_that_goes_to_another_service_knows_nothing_of_the_roster_before(
    kit: Stage,
) -> None:
    roster(kit, 5, ends=NOON)
    kit.advance(1.1)
    assert kit.books.away(NOON) is PressRefusal.ROSTER_OVER
    kit.books.enrol(OTHER.card(), PRACTITIONER.card())
    assert kit.books.away(NOON) is None
    roster(kit, 1, OTHER)
    assert kit.books.take_roster() and kit.books.away(NOON) is None


def carded(kit: Stage, number: int, *signing: PrivateKeys) -> None:
    """The next card of the service comes in; besides its keys nobody's word counts."""
    assert kit.books.enrolled is not None
    chain, year = kit.books.enrolled.chain, NOON + timedelta(days=365)
    said = ServiceCard(
        number=number,
        before=chain.digest,
        at=NOON,
        roots=(str(SERVICE.signer.verifier),),
        signing=tuple(SigningKey(verifier=str(k.signer.verifier), until=year) for k in signing),
        recipients=tuple(
            str(generate_identity(x25519=True).recipient) for _ in ("every day", "kept away")
        ),
    )
    save(card_path(kit.home, number), sign_fact(SERVICE.signer, said).encode())


@pytest.mark.parametrize("restarted", [False, True])
def test_what_a_stolen_key_signed_says_nothing_once_a_card_has_left_it_out(
    kit: Stage, restarted: bool
) -> None:
    name, later = PRACTITIONER.card().name, NOON + timedelta(days=9)
    carded(kit, 2, OTHER)
    assert kit.books.follow() == (2,)
    roster(kit, 9, OTHER, left=(Left(practitioner=name, since=NOON),), ends=later)
    assert kit.books.take_roster()
    carded(kit, 3, SERVICE)
    assert kit.books.follow() == (3,)
    books = KitBooks(kit.home) if restarted else kit.books
    assert books.revoke() == (), "whoever it says has left is here"
    assert books.away(NOON) is None and books.away(later) is PressRefusal.ROSTER_OVER
    assert not books.take_roster()
    roster(kit, 2, ends=NOON + timedelta(days=1))
    assert books.take_roster(), "the service's own, though its number is lower"
    assert books.away(NOON + timedelta(days=2)) is PressRefusal.ROSTER_OVER
    roster(kit, 1, ends=later)
    assert not books.take_roster()


def test_a_roster_for_which_there_was_no_room_is_taken_in_once_there_is(kit: Stage) -> None:
    in_the_way = kit.home.roster / "full"
    in_the_way.mkdir(parents=True)
    roster(kit, 1)
    assert not kit.books.take_roster()
    shutil.rmtree(kit.home.roster)
    assert kit.books.take_roster() and not kit.books.take_roster()


def test_a_card_that_is_followed_is_in_the_log(kit: Stage) -> None:
    carded(kit, 2, OTHER)
    kit.notice()
    carded(kit, 3, SERVICE)
    kit.notice()
    kit.notice()
    assert kit.events().count("service-card") == 2
