"""Whose family it is, as base sees it, with and without a key that opens the case's own lists."""

from pathlib import Path

import pytest

from appliance.age.identities import generate_identity
from appliance.age.sealing import seal
from appliance.base.teams import works_in
from appliance.protocol.enrolment import Enrolled
from appliance.protocol.names import numbered_name
from appliance.protocol.objects import case_object
from appliance.protocol.orders import Withdrawal
from appliance.protocol.teams import TEAM_NAME, signed_team
from appliance.records.files import new_id, save
from appliance.vault.cases import Team
from appliance.vault.documents import Heading, text_of
from appliance.vault.keys import PrivateKeys
from tests.support.bases import Base
from tests.support.homes import CLOCK, practitioner, service


@pytest.fixture
def at_base(tmp_path: Path) -> Base:
    return Base(tmp_path)


def unopened(at_base: Base, case: str) -> None:
    """What a base sees whose key that opens is elsewhere: the sealed lists say nothing to it."""
    for key in (at_base.store / "cases" / case).glob("identity-*"):
        key.write_bytes(b"sealed to others")


def asks(at_base: Base, case: str, keys: PrivateKeys) -> bool:
    """True if this person's order for the case waits for the service's yes."""
    order = Withdrawal(id=new_id(), case=case, kit="", at=CLOCK.read().wall)
    at_base.place(order, keys)
    done = at_base.run("serve", "--once", "--json")
    return f'"order":"{order.id}","state":"asks"' in done.stdout.replace(" ", "")


def plant(at_base: Base, case: str, keys: PrivateKeys, number: int) -> None:
    name, note = signed_team(keys.signer, case, number, [keys.card().name])
    save(at_base.store / case_object(case, name), note)


def lists(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if TEAM_NAME.fullmatch(path.name))


def test_each_change_of_a_team_is_told_in_public_and_sent_with_nothing_but_ids(
    at_base: Base,
) -> None:
    case, other = at_base.sent(), at_base.enrolled()
    there = at_base.store / "cases" / case
    assert [name[:9] for name in lists(there)] == ["team-0001"]
    people = (practitioner().card(), other.card())
    enrolled = Enrolled(service=service().card(), practitioners=people)
    opened = at_base.kit.cases.admit(at_base.opened(case), other.card(), enrolled)
    at_base.kit.cases.release(opened, other.card().name, enrolled)
    at_base.kit.sync()
    assert [name[:9] for name in lists(there)] == ["team-0001", "team-0002", "team-0003"]
    text = "".join((there / name).read_text() for name in lists(there))
    assert other.card().recipient not in text and "a label" not in text
    # Opened again, nothing new is written.
    at_base.opened(case)
    assert lists(at_base.kit.home.case(case)) == lists(there)


def test_a_home_of_before_there_were_public_lists_gets_one_when_a_case_is_opened(
    at_base: Base,
) -> None:
    case = at_base.kit.case()
    for name in lists(case.directory):
        (case.directory / name).unlink()
    at_base.opened(case.id)
    assert [name[:9] for name in lists(case.directory)] == ["team-0001"]


def test_nobody_is_named_any_more_on_a_kit_whose_family_has_withdrawn(at_base: Base) -> None:
    case = at_base.sent()
    at_base.kit.withdraw(case)
    assert not lists(at_base.kit.home.case(case))
    assert at_base.kit.sync().state == "sent"
    at_base.told("serve", "--once")
    assert at_base.identities(case) == []


def test_who_works_there_is_believed_where_no_key_opens_the_sealed_list(at_base: Base) -> None:
    case, _order = at_base.withdrawn()
    unopened(at_base, case)
    plant(at_base, case, at_base.enrolled(), 2)
    at_base.told("serve", "--once")
    assert at_base.identities(case) == []


def test_nobody_makes_themselves_one_of_a_familys_people(at_base: Base) -> None:
    stranger = at_base.enrolled()
    for number in (1, 2):
        case = at_base.sent()
        unopened(at_base, case)
        plant(at_base, case, stranger, number)
        assert asks(at_base, case, stranger)
    case = at_base.sent()
    for name in lists(at_base.store / "cases" / case):
        (at_base.store / "cases" / case / name).unlink()
    plant(at_base, case, stranger, 1)
    # The case's own sealed list says otherwise.
    assert asks(at_base, case, stranger)


def test_a_sealed_list_of_their_own_makes_nobody_one_of_a_familys_people(at_base: Base) -> None:
    """Sealed to an identity that they made, which they have sealed to the service: it opens. Where
    the case has no public list, theirs must not decide."""
    case, stranger = at_base.sent(), at_base.enrolled()
    there = at_base.store / "cases" / case
    for name in lists(there):
        (there / name).unlink()
    identity, home = generate_identity(), new_id()
    key = seal(f"{identity.secret_text()}\n".encode(), [service().card().sealing_key()])
    save(there / numbered_name("identity", 1, home), key)
    heading = Heading(case=case, name="team", number=1, home=home, after=(), at=CLOCK.read().wall)
    team = Team(members=(stranger.card(),), recipient=str(identity.recipient))
    note = stranger.signer.sign(text_of(heading, team)).encode()
    save(there / "documents" / numbered_name("team", 1, home), seal(note, [identity.recipient]))
    plant(at_base, case, stranger, 1)
    assert asks(at_base, case, stranger)
    assert at_base.identities(case)


def test_who_left_begins_no_public_list(at_base: Base) -> None:
    """It tells no day, and their order is dated back."""
    case, leaver = at_base.sent(), at_base.enrolled()
    unopened(at_base, case)
    for name in lists(at_base.store / "cases" / case):
        (at_base.store / "cases" / case / name).unlink()
    at_base.told("revoke", leaver.card().name)
    plant(at_base, case, leaver, 1)
    assert asks(at_base, case, leaver)


def test_without_any_list_the_service_is_asked(at_base: Base) -> None:
    case = at_base.sent()
    unopened(at_base, case)
    for name in lists(at_base.store / "cases" / case):
        (at_base.store / "cases" / case / name).unlink()
    assert asks(at_base, case, practitioner())


def test_an_order_that_came_before_the_list_counts_once_that_is_there(at_base: Base) -> None:
    case = at_base.sent()
    unopened(at_base, case)
    (name,) = lists(at_base.store / "cases" / case)
    path = at_base.store / "cases" / case / name
    note = path.read_bytes()
    path.unlink()
    assert asks(at_base, case, practitioner())
    path.write_bytes(note)
    at_base.told("serve", "--once")
    assert at_base.identities(case) == []


def test_of_a_case_of_which_nothing_ever_came_nobody_can_tell(at_base: Base) -> None:
    people = [practitioner().signer.verifier]
    assert not works_in(at_base.folder, service(), people, new_id(), people[0].name)
