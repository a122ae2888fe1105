"""Whose word counts at base: families decide, and nobody else's signature ends what is theirs."""

from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

from appliance.age.identities import generate_identity
from appliance.age.sealing import seal
from appliance.errors import NotLetIn
from appliance.protocol.enrolment import Revocation
from appliance.protocol.names import numbered_name
from appliance.protocol.objects import order_object, tombstone_object
from appliance.protocol.orders import (
    MOST_A_DAY,
    MOST_FILMED_A_DAY,
    FilmWithdrawal,
    ShareEnd,
    Withdrawal,
)
from appliance.records.files import new_id, save, to_json
from appliance.records.signing import sign_fact
from appliance.stores.folder import FolderStore
from appliance.vault.cases import Team
from appliance.vault.documents import Heading, text_of
from appliance.vault.keys import PrivateKeys
from tests.support.bases import Base
from tests.support.homes import CLOCK, contents, ledger_of, practitioner, served, service


@pytest.fixture
def at_base(tmp_path: Path) -> Base:
    return Base(tmp_path)


def withdrawal(at_base: Base, case: str, **fields: object) -> Withdrawal:
    now = CLOCK.read().wall
    told = {"id": new_id(), "case": case, "kit": at_base.kit.id, "at": now, **fields}
    return Withdrawal(**told)  # type: ignore[arg-type]


def states(at_base: Base, status: int = 0) -> dict[str, str]:
    orders = at_base.told("serve", "--once", status=status)["orders"]
    return {order["order"]: order["state"] for order in orders}


# --- Who has left (F4) --------------------------------------------------------------------------


def test_what_a_family_decided_counts_although_its_practitioner_left_before_base_ran(
    at_base: Base,
) -> None:
    case, order = at_base.withdrawn()
    at_base.told("revoke", practitioner().card().name)
    assert states(at_base) == {order: "done"}
    assert at_base.identities(case) == []


def test_it_counts_also_when_it_arrives_long_after(at_base: Base) -> None:
    case = at_base.sent()
    at_base.kit.withdraw(case)
    at_base.told("revoke", practitioner().card().name)
    at_base.kit.sync()
    assert set(states(at_base).values()) == {"done"}
    assert at_base.identities(case) == []


def test_what_somebody_signs_after_they_left_waits_for_the_service(at_base: Base) -> None:
    """Their kit may not have heard of it, and the family meant what it said."""
    case = at_base.sent()
    at_base.told("revoke", practitioner().card().name)
    order = withdrawal(at_base, case, at=CLOCK.read().wall + timedelta(seconds=5))
    at_base.place(order, practitioner())
    assert states(at_base, 1) == {order.id: "asks"}
    assert at_base.identities(case)
    at_base.told("withdraw", case)
    assert set(states(at_base).values()) == {"done-before"}


def test_an_order_of_somebody_of_whom_nobody_knows_when_they_left_is_over_with_the_yes(
    at_base: Base,
) -> None:
    case, order = at_base.withdrawn()
    # Their card was moved by hand, and nothing was signed.
    (at_base.keys / "revoked").mkdir()
    (at_base.keys / "practitioners" / "one.pub").rename(at_base.keys / "revoked" / "one.pub")
    (told,) = at_base.told("serve", "--once", status=1)["orders"]
    assert (told["order"], told["state"], told["case"]) == (order, "asks", case)
    at_base.told("withdraw", case)
    assert set(states(at_base).values()) == {"done-before"}


def test_what_was_shared_ends_on_its_day_whoever_has_left_by_then(at_base: Base) -> None:
    case = at_base.sent()
    share = at_base.store / "cases" / case / "shares" / new_id()
    share.mkdir(parents=True)
    (share / "1.mp4.age").write_bytes(b"sealed")
    at_base.told("revoke", practitioner().card().name)
    end = ShareEnd(id=new_id(), case=case, share=share.name, films=(), at=CLOCK.read().wall)
    at_base.place(end, practitioner())
    assert states(at_base) == {end.id: "done"}
    assert not list(share.glob("*"))


# --- Whose family it is (F6) --------------------------------------------------------------------


def test_a_practitioner_ends_no_family_that_they_do_not_work_with(at_base: Base) -> None:
    stranger = at_base.enrolled()
    cases = [at_base.sent() for _ in range(3)]
    orders = [withdrawal(at_base, case) for case in cases]
    film = FilmWithdrawal(
        id=new_id(), case=cases[0], kit="", film=new_id(), clips=(), at=CLOCK.read().wall
    )
    for order in (*orders, film):
        at_base.place(order, stranger)
    before = contents(at_base.store / "cases")
    assert set(states(at_base, 1).values()) == {"asks"}
    assert contents(at_base.store / "cases") == before
    assert not (at_base.store / "tombstones").exists()
    # It stays so, and costs nothing more; and somebody is told what to do.
    done = at_base.run("serve", "--once")
    assert "is not known to work with this family" in done.stderr
    assert "order it yourself, with the verb withdraw" in done.stderr
    assert "4 waiting for your yes" in done.stdout


def test_the_services_yes_carries_out_what_waited(at_base: Base) -> None:
    case, stranger = at_base.sent(), at_base.enrolled()
    order = withdrawal(at_base, case)
    at_base.place(order, stranger)
    assert states(at_base, 1) == {order.id: "asks"}
    at_base.told("withdraw", case)
    assert at_base.identities(case) == []
    assert states(at_base)[order.id] in ("done", "done-before")


def test_the_services_yes_under_a_hold_is_one_as_well(at_base: Base) -> None:
    case, stranger = at_base.sent(), at_base.enrolled()
    order = withdrawal(at_base, case)
    at_base.place(order, stranger)
    assert states(at_base, 1) == {order.id: "asks"}
    at_base.told("hold", case, "--until", f"{CLOCK.read().wall + timedelta(days=9):%Y-%m-%d}")
    at_base.told("withdraw", case)
    assert set(states(at_base).values()) == {"held"}
    assert at_base.identities(case)


def test_the_yes_to_one_film_ends_the_order_that_waited_with_what_it_names(at_base: Base) -> None:
    """Of somebody who worked with the family, and had left when they signed."""
    case, leaver = at_base.sent(), at_base.enrolled()
    save(at_base.root / "leaver.pub", to_json(leaver.card()))
    at_base.told("let-in", str(at_base.root / "leaver.pub"), "--case", case)
    at_base.told("revoke", leaver.card().name)
    film, clip = at_base.kit.film(case), new_id()
    at_base.kit.sync()
    sealed = at_base.store / "cases" / case / "clips" / f"{clip}.mp4.age"
    sealed.write_bytes(b"sealed")

    def taken_back(*clips: str) -> FilmWithdrawal:
        now = CLOCK.read().wall + timedelta(seconds=5)
        order = FilmWithdrawal(
            id=new_id(), case=case, kit=at_base.kit.id, film=film, clips=clips, at=now
        )
        at_base.place(order, leaver)
        return order

    order = taken_back(clip)
    (told,) = at_base.told("serve", "--once", status=1)["orders"]
    assert (told["state"], told["case"], told["film"]) == ("asks", case, film)
    # What is said can be typed as it stands.
    command = f"withdraw {case} --film {film} --kit {at_base.kit.id}"
    assert f"film {film} of case {case} waits" in at_base.run("serve", "--once").stderr
    assert command in at_base.run("serve", "--once").stderr
    at_base.told(*command.split())
    assert states(at_base)[order.id] in ("done", "done-before")
    assert set(states(at_base).values()) == {"done-before"} and not sealed.exists()
    assert at_base.identities(case)
    # Nobody said yes to more than that.
    other = next((at_base.store / "cases" / case / "clips").iterdir())
    late = taken_back(other.name.partition(".")[0])
    assert states(at_base, 1)[late.id] == "asks" and other.exists()


def test_the_yes_to_one_film_is_none_to_moments_that_a_stranger_names(at_base: Base) -> None:
    case, stranger = at_base.sent(), at_base.enrolled()
    film = at_base.kit.film(case)
    at_base.kit.sync()
    clip = next((at_base.store / "cases" / case / "clips").iterdir())
    named, at = (clip.name.partition(".")[0],), CLOCK.read().wall
    order = FilmWithdrawal(id=new_id(), case=case, kit="", film=film, clips=named, at=at)
    at_base.place(order, stranger)
    assert states(at_base, 1) == {order.id: "asks"}
    at_base.told("withdraw", case, "--film", film, "--kit", at_base.kit.id)
    assert clip.exists()
    assert not list((at_base.store / "cases" / case / "recordings").glob(f"{film}/*"))


def test_who_is_revoked_counts_no_more_although_that_was_cut_before_their_card_was_moved(
    at_base: Base,
) -> None:
    """The store went away after the line was written: every kit is told."""
    case, name = at_base.sent(), practitioner().card().name
    at_base.told("roster", "--publish")
    with ledger_of(at_base.folder) as ledger:
        fact = Revocation(practitioner=name, at=CLOCK.read().wall)
        first = sign_fact(service().signer, fact)
        ledger.write("revoked", name, note=first)
    after = withdrawal(at_base, case, at=CLOCK.read().wall + timedelta(seconds=5))
    at_base.place(after, practitioner())
    assert states(at_base, 1) == {after.id: "asks"}
    newest = sorted((at_base.keys / "roster").glob("0*"))[-1].read_text()
    assert f'"left":[{{"attune":"roster-left/v1","practitioner":"{name}"' in newest
    # The next try ends what the first began.
    at_base.told("revoke", name)
    assert (at_base.store / "revoked" / name).read_text() == first
    # What the family decided before counts.
    before = withdrawal(at_base, case, at=CLOCK.read().wall - timedelta(days=1))
    at_base.place(before, practitioner())
    at_base.run("serve", "--once")
    assert set(states(at_base).values()) == {"done-before"}
    assert at_base.identities(case) == []


def test_a_person_of_the_team_is_believed_whatever_lies_on_top(at_base: Base) -> None:
    case, order = at_base.withdrawn()
    for name in ("identity-0009.age", "documents/team-0009.age"):
        (at_base.store / "cases" / case / name).write_bytes(b"rubbish")
    assert states(at_base) == {order: "done"}
    assert at_base.identities(case) == []


def test_an_order_for_a_case_of_which_nothing_can_be_read_waits(at_base: Base) -> None:
    case, order = at_base.withdrawn()
    (at_base.store / "cases" / case / "identity-0001.age").write_bytes(b"rubbish")
    for path in (at_base.store / "cases" / case).glob("team-*"):
        path.write_bytes(b"rubbish")
    assert states(at_base, 1) == {order: "asks"}


def test_more_cases_in_a_day_than_families_end_wait_for_the_service(at_base: Base) -> None:
    orders = []
    for _ in range(MOST_A_DAY + 2):
        case, order = at_base.withdrawn()
        orders.append((case, order))
    found = states(at_base, 1)
    assert sorted(found.values()) == sorted(["done"] * MOST_A_DAY + ["asks"] * 2)
    # Another day, and another round, make no yes of it.
    assert sorted(states(at_base, 1).values()) == sorted(
        ["done-before"] * MOST_A_DAY + ["asks"] * 2
    )
    for case, order in orders:
        assert bool(at_base.identities(case)) is (found[order] == "asks")


def test_a_film_of_each_case_is_no_way_round_that(at_base: Base) -> None:
    orders = {}
    for number in range(MOST_FILMED_A_DAY + 2):
        case = at_base.kit.case().id
        film = at_base.kit.film(case)
        at = CLOCK.read().wall + timedelta(seconds=number)
        order = FilmWithdrawal(id=new_id(), case=case, kit="", film=film, clips=(), at=at)
        orders[order.id] = (case, film, order)
    at_base.kit.sync()
    for _case, _film, order in orders.values():
        at_base.place(order, practitioner())
    found = states(at_base, 1)
    wanted = ["done"] * MOST_FILMED_A_DAY + ["asks"] * 2
    assert sorted(found.values()) == sorted(wanted)
    for name, (case, film, _order) in orders.items():
        there = list((at_base.store / "cases" / case / "recordings").glob(f"{film}/*"))
        assert bool(there) is (found[name] == "asks")
    # Nor does anybody end a case whole who has taken films of so many back.
    case, order_id = at_base.withdrawn()
    assert states(at_base, 1)[order_id] == "asks" and at_base.identities(case)


def test_films_of_one_family_may_be_taken_back_as_many_as_there_are(at_base: Base) -> None:
    case = at_base.kit.case().id
    films = [at_base.kit.film(case) for _ in range(MOST_FILMED_A_DAY + 2)]
    at_base.kit.sync()
    for film in films:
        at = CLOCK.read().wall
        order = FilmWithdrawal(id=new_id(), case=case, kit="", film=film, clips=(), at=at)
        at_base.place(order, practitioner())
    assert set(states(at_base).values()) == {"done"}


@pytest.mark.parametrize("other", ["another case", "another film", "another signer"])
def test_what_is_put_in_place_of_an_order_that_counted_is_judged_by_itself(
    at_base: Base, other: str
) -> None:
    """Where a kit can write over: a hold keeps the first, and its name is known."""
    case, elsewhere, stranger = at_base.sent(), at_base.sent(), at_base.enrolled()
    at_base.told("hold", case, "--until", f"{CLOCK.read().wall + timedelta(days=9):%Y-%m-%d}")
    film, second = at_base.kit.film(case), at_base.kit.film(case)
    at_base.kit.sync()
    now = CLOCK.read().wall
    first = FilmWithdrawal(id=new_id(), case=case, kit="", film=film, clips=(), at=now)
    at_base.place(first, practitioner())
    assert states(at_base) == {first.id: "held"}
    put = {
        "another case": withdrawal(at_base, elsewhere, id=first.id),
        "another film": msgspec.structs.replace(first, film=second),
        "another signer": first,
    }
    at_base.place(put[other], stranger)
    assert states(at_base, 1) == {first.id: "asks"}
    assert at_base.identities(elsewhere)


# --- Each by itself (F7) ------------------------------------------------------------------------


def test_folders_where_files_belong_stop_no_family(at_base: Base) -> None:
    """Whoever has a kit's way in can make folders, and no engine forbids it."""
    case, order = at_base.withdrawn()
    other, second = at_base.withdrawn()
    (at_base.store / tombstone_object(case) / "planted").mkdir(parents=True)
    (at_base.store / tombstone_object(case) / "file").write_bytes(b"planted")
    (at_base.store / "cases" / case / "identity-0002.age").mkdir()
    (at_base.store / "cases" / case / "shares").write_bytes(b"no folder")
    (at_base.store / "orders" / new_id()).mkdir()
    found = states(at_base)
    assert (found[order], found[second]) == ("done", "done")
    assert at_base.identities(case) == at_base.identities(other) == []
    assert (at_base.store / tombstone_object(case)).is_file()
    # What made way for an answer stands in the ledger.
    assert f'"name":"{tombstone_object(case)}"' in (at_base.keys / "ledger" / "log").read_text()


def test_a_key_that_the_engine_keeps_is_told_and_keeps_no_other_family(at_base: Base) -> None:
    """As under an engine's legal hold."""
    case, order = at_base.withdrawn()
    other, second = at_base.withdrawn()

    class Keeping(FolderStore):
        def purge(self, prefix: str) -> tuple[str, ...]:
            if prefix == f"cases/{case}/identity-":
                raise NotLetIn("The engine keeps it.")
            return super().purge(prefix)

    found = {outcome.order: outcome for outcome in served(Keeping(at_base.store))}
    assert (found[order].state, found[order].why) == ("failed", "The engine keeps it.")
    assert found[second].state == "done" and at_base.identities(other) == []
    assert at_base.identities(case) and not (at_base.store / tombstone_object(case)).exists()
    assert states(at_base)[order] == "done"
    assert at_base.identities(case) == []


def test_a_kit_passes_over_folders_where_files_belong_and_sends_all_else(at_base: Base) -> None:
    kit = at_base.kit
    case, other = at_base.sent(), kit.case().id
    (at_base.store / "kits" / kit.id / "orders" / "000001").mkdir(parents=True)
    (at_base.store / "revoked" / practitioner().card().name).mkdir(parents=True)
    (at_base.store / "tombstones" / case).mkdir(parents=True)
    (at_base.store / "cases" / other / "identity-0001.age").mkdir(parents=True)
    late = kit.case().id
    status = kit.sync()
    assert status.state == "incomplete"
    codes = {problem.object: problem.code for problem in status.problems}
    assert codes[f"kits/{kit.id}/orders/000001"] == "false-order"
    assert codes[f"revoked/{practitioner().card().name}"] == "false-order"
    assert codes[f"tombstones/{case}"] == "false-tombstone"
    assert any(at_base.store.glob(f"cases/{other}/identity-0001-{kit.id}-*.age"))
    assert at_base.identities(late) == ["identity-0001.age"]
    order = kit.withdraw(late)
    kit.sync()
    assert (at_base.store / order_object(order)).exists()


def planted(at_base: Base, case: str, who: PrivateKeys, number: int, home: str = "") -> Path:
    """A list of a family's practitioners that somebody else of the service has put at the store,
    under a key of their own that opens."""
    identity = generate_identity()
    folder = at_base.store / "cases" / case
    secret = f"{identity.secret_text()}\n".encode()
    key = seal(secret, [service().card().sealing_key()])
    (folder / f"identity-{number:04}-{'z' * 16}-{'0' * 16}.age").write_bytes(key)
    heading = Heading(
        case=case, name="team", number=number, home=home, after=(), at=CLOCK.read().wall
    )
    team = Team(members=(who.card(),), recipient=str(identity.recipient))
    note = who.signer.sign(text_of(heading, team)).encode()
    path = folder / "documents" / numbered_name("team", number, home)
    path.write_bytes(seal(note, [identity.recipient]))
    return path


@pytest.mark.parametrize("number", [0, 1, 42])
@pytest.mark.parametrize("home", ["", "a" * 16, "z" * 16])
def test_nobody_writes_themselves_into_a_familys_team(
    at_base: Base, number: int, home: str
) -> None:
    """A practitioner who has a kit's way into the store as well plants a key and a list of their
    own, below or on top: both open, and both are signed by somebody of this service."""
    case, stranger = at_base.sent(), at_base.enrolled()
    planted(at_base, case, stranger, number, home)
    rubbish = at_base.store / "cases" / case / "identity-0043.age"
    rubbish.write_bytes(seal(b"\xff", [service().card().sealing_key()]))
    order = withdrawal(at_base, case)
    at_base.place(order, stranger)
    assert states(at_base, 1) == {order.id: "asks"}
    assert "identity-0001.age" in at_base.identities(case)


def test_a_person_of_the_team_is_believed_although_rubbish_has_the_name_of_its_first_list(
    at_base: Base,
) -> None:
    case, order = at_base.withdrawn()
    rubbish = at_base.store / "cases" / case / "documents" / f"team-0001-{'a' * 16}.age"
    rubbish.write_bytes(b"rubbish")
    assert states(at_base) == {order: "done"}


def test_whom_the_service_let_in_is_of_the_team(at_base: Base) -> None:
    case, new = at_base.sent(), at_base.enrolled()
    card = at_base.root / "new.pub"
    save(card, to_json(new.card()))
    at_base.told("let-in", str(card), "--case", case)
    order = withdrawal(at_base, case)
    at_base.place(order, new)
    assert states(at_base) == {order.id: "done"}
