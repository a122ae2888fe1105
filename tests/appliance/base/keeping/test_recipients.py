"""A case's key is sealed to every key that opens by the service's newest card, or that is told."""

from datetime import timedelta

import pytest

from appliance.age.identities import generate_identity
from appliance.age.sealing import seal
from appliance.age.unsealing import Identity
from appliance.base.custody.anew import service_key_file
from appliance.base.custody.keys import ServiceKeys
from appliance.base.custody.next import Change, next_card
from appliance.base.keeping.recipients import looked_at, not_to_all
from appliance.vault.keys import HalfKeys
from tests.support.clocks import NOON, FakeClock
from tests.support.homes import practitioner, service

DAILY, ESCROW, OLD = generate_identity(), generate_identity(), service().identity
PERSON, OTHER = practitioner().identity, generate_identity()
KEY, ANOTHER = generate_identity(), generate_identity()
ROOT = HalfKeys.generate("root")
CHAIN = service().chain.followed_by(
    next_card(
        service(),
        Change(
            roots=[ROOT.card().key],
            opening=[str(DAILY.recipient), str(ESCROW.recipient)],
        ),
        NOON + timedelta(days=1),
    )
)
OURS = service_key_file(1, CHAIN)
KITS = "identity-0001.age"


def sealed(*to: Identity, key: Identity = KEY) -> bytes:
    return seal(f"{key.secret_text()}\n".encode(), [one.recipient for one in to])


def told(files: dict[str, bytes], *here: Identity) -> list[str]:
    """What is found of these key files by a machine that has such keys."""
    return not_to_all({name: looked_at(name, data, CHAIN, here) for name, data in files.items()})


HERE: list[tuple[Identity, ...]] = [(), (DAILY,), (ESCROW,), (DAILY, ESCROW), (DAILY, OLD), (OLD,)]


@pytest.mark.parametrize("here", HERE)
def test_what_is_sealed_to_every_key_of_the_newest_card_is_well(here: tuple[Identity, ...]) -> None:
    assert told({KITS: sealed(PERSON, DAILY, ESCROW)}, *here) == []
    assert told({OURS: sealed(DAILY, ESCROW)}, *here) == []
    assert told({"identity-0002.age": sealed(PERSON, OTHER, DAILY, ESCROW)}, *here) == []


@pytest.mark.parametrize("here", HERE)
def test_what_is_sealed_to_one_of_them_or_to_a_key_of_before_is_named(
    here: tuple[Identity, ...],
) -> None:
    for to in ((PERSON, DAILY), (PERSON, ESCROW), (PERSON, OLD), (DAILY, ESCROW)):
        assert told({KITS: sealed(*to)}, *here) == [KITS], to
    assert told({OURS: sealed(DAILY)}, *here) == [OURS]


def test_whoever_opens_sees_more_than_how_many_there_are() -> None:
    two_people = {KITS: sealed(PERSON, OTHER, OLD)}
    assert told(two_people) == [], "nobody can tell it from one person and two keys"
    for here in ((DAILY,), (ESCROW,), (OLD,), (DAILY, OLD)):
        assert told(two_people, *here) == [KITS]


def test_what_was_sealed_anew_makes_up_for_an_old_file_if_it_holds_the_same_key() -> None:
    files = {KITS: sealed(PERSON, OLD), OURS: sealed(DAILY, ESCROW)}
    assert told(files, DAILY, OLD) == []
    assert told(files) == [KITS], "that takes a key which opens"
    files[KITS] = sealed(PERSON, OLD, key=ANOTHER)
    assert told(files, DAILY, OLD) == [KITS]


def test_only_a_card_that_changes_who_opens_asks_for_new_files() -> None:
    root = ServiceKeys(CHAIN, [ROOT], FakeClock())
    for opening, found in ([], []), ([DAILY, generate_identity()], [OURS]):
        change = Change(opening=[str(one.recipient) for one in opening])
        later = CHAIN.followed_by(next_card(root, change, NOON + timedelta(days=2)))
        looked = looked_at(OURS, sealed(DAILY, ESCROW), later, ())
        assert not_to_all({OURS: looked}) == found


def test_what_is_no_sealed_file_is_no_key() -> None:
    assert told({KITS: b"rubbish", "identity-0002.age": b""}, DAILY) == []
