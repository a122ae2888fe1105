"""Taking films away: the family's button, a signed order, and nothing in doubt."""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from appliance.age.identities import generate_identity
from appliance.film.manifest import FilmRemoved
from appliance.protocol.orders import (
    MOST_A_DAY,
    MOST_FILMED_A_DAY,
    FilmWithdrawal,
    ServiceOrder,
    Tombstone,
    Withdrawal,
)
from appliance.protocol.permits import Joined
from appliance.protocol.requests import LetIn, Remove
from appliance.protocol.status import Pattern, State
from appliance.records.files import Fact, from_json, new_id, save, to_json
from appliance.records.signing import Signer, open_note
from appliance.vault.keys import PrivateKeys
from firmware.books import KitBooks
from firmware.recorder import COUNTDOWN, HOLD_REMOVES, REMOVABLE_FOR
from firmware.removing import Removals
from tests.support.clocks import NOON
from tests.support.fakes import PRACTITIONER, SERVICE, Stage

STRANGER = PrivateKeys.generate("practitioner", x25519=True)


@pytest.fixture
def kit(tmp_path: Path) -> Iterator[Stage]:
    kit = Stage(tmp_path)
    yield kit
    kit.close()


def make_film(kit: Stage, **changes: Any) -> str:
    """One film of a second, ended by a press that is let go; returns its name."""
    kit.arm(**changes)
    kit.press()
    kit.advance(1)
    kit.press()
    kit.settle()
    return kit.status.recording


def here(kit: Stage) -> set[str]:
    return {path.name for path in kit.films()}


def note_of(kit: Stage, recording: str) -> FilmRemoved:
    note = (kit.home.removed / recording).read_text()
    text, _ = open_note(note, [kit.books.signer.verifier])
    return from_json(text, FilmRemoved)


# --- By the button ------------------------------------------------------------------------------


def test_holding_on_after_the_stop_removes_the_film_and_says_so(kit: Stage) -> None:
    kit.arm()
    kit.press()
    kit.advance(2)
    recording = kit.status.recording
    manifest = kit.home.recording(recording) / "manifest"
    kit.down()
    kit.settle()
    digest = hashlib.sha256(manifest.read_bytes()).hexdigest()
    kit.advance(HOLD_REMOVES - COUNTDOWN + 0.1)
    assert (kit.state, kit.light.pattern) == (State.REMOVING, Pattern.REMOVING)
    kit.advance(COUNTDOWN - 0.2)
    assert here(kit) == {recording}
    kit.advance(0.2)
    assert here(kit) == set()
    removed = note_of(kit, recording)
    assert (removed.why, removed.case, removed.manifest) == ("button", kit.case, digest)
    assert kit.events()[-1] == "film-removed"
    kit.up()
    kit.advance(10)
    assert kit.state is State.READY
    assert kit.happened.count("camera on") == 1


def test_the_page_is_told_for_how_long_a_film_can_be_removed(kit: Stage) -> None:
    make_film(kit)
    left = kit.status.removable
    assert REMOVABLE_FOR - 1 < left <= REMOVABLE_FOR
    kit.advance(10)
    assert kit.status.removable == pytest.approx(left - 10)
    kit.advance(REMOVABLE_FOR)
    assert kit.status.removable == 0


def test_only_the_last_film_goes_and_the_one_before_is_untouched(kit: Stage) -> None:
    first, second = make_film(kit), make_film(kit)
    before = {path: path.read_bytes() for path in kit.home.recording(first).iterdir()}
    kit.press(held=HOLD_REMOVES + 0.1)
    assert here(kit) == {first}
    kit.press(held=HOLD_REMOVES + 0.1)
    assert {path: path.read_bytes() for path in kit.home.recording(first).iterdir()} == before
    assert [path.name for path in kit.home.removed.iterdir()] == [second]


def test_a_case_on_hold_keeps_its_film(kit: Stage) -> None:
    (kit.home.case(kit.case) / "hold").write_text("whatever it says")
    recording = make_film(kit)
    assert kit.status.removable == 0
    kit.press(held=20)
    assert here(kit) == {recording}
    assert Pattern.REMOVING.value not in {status.light for status in kit.told}


def test_a_removed_film_still_counts_as_one_of_those_agreed(kit: Stage) -> None:
    make_film(kit, films=1)
    kit.press(held=HOLD_REMOVES + 0.1)
    assert here(kit) == set()
    kit.press()
    assert kit.status.reason == "films-used"


# --- A pulled plug ------------------------------------------------------------------------------


@pytest.mark.parametrize("left", ["everything", "no manifest", "one segment"])
def test_a_removal_that_was_cut_short_is_finished_at_the_next_start(
    kit: Stage, tmp_path: Path, left: str
) -> None:
    recording, other = make_film(kit), make_film(kit)
    directory = kit.home.recording(recording)
    kept = tmp_path / "kept"
    shutil.copytree(directory, kept)
    kit.removals.by_button(recording)
    directory.mkdir()
    for path in kept.iterdir():
        if left == "everything" or (left == "one segment" and path.name == "0000.mp4.age"):
            shutil.copy(path, directory)
        if left == "no manifest" and path.name != "manifest":
            shutil.copy(path, directory)
    Removals(kit.home, kit.books, kit.log, lambda: NOON, emptying=False).finish()
    assert here(kit) == {other}


def test_a_note_that_the_kit_did_not_sign_removes_nothing(
    kit: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    recording, other = make_film(kit), make_film(kit)
    kit.removals.by_button(other)
    note = (kit.home.removed / other).read_text()
    for name, text in (
        (recording, note),
        (recording, note.replace(other, recording)),
        (recording, STRANGER.signer.sign(note.partition("\n\n")[0] + "\n")),
        ("odd name", note),
    ):
        (kit.home.removed / name).write_text(text)
        kit.removals.finish()
        assert here(kit) == {recording}
    # Whoever repairs the kit is told which note it was.
    assert {record.getMessage().partition(":")[0] for record in caplog.records} == {recording}


def test_a_card_that_refuses_is_told_once_and_the_rest_is_done_at_the_next_start(
    kit: Stage,
) -> None:
    recording = make_film(kit)
    # The note cannot be written, so nothing is removed either.
    kit.home.removed.rmdir()
    kit.home.removed.write_text("")
    kit.press(held=HOLD_REMOVES + 0.1)
    assert (kit.state, kit.status.reason) == (State.FAULT, "disk-failed")
    assert here(kit) == {recording}
    kit.home.removed.unlink()
    kit.home.removed.mkdir()


# --- By a signed order --------------------------------------------------------------------------


def signed(signer: Signer, order: Fact) -> str:
    return signer.sign(to_json(order).decode() + "\n")


def ask(kit: Stage, note: str) -> str:
    now = kit.clock.read()
    return kit.ask(Remove(id=new_id(), boot=now.boot, boottime=now.boottime, note=note))


def withdrawal(kit: Stage, **changes: Any) -> Withdrawal:
    order = Withdrawal(id=new_id(), case=kit.case, kit=kit.books.kit, at=NOON)
    return msgspec.structs.replace(order, **changes)


def film_withdrawal(kit: Stage, film: str, **changes: Any) -> FilmWithdrawal:
    order = FilmWithdrawal(
        id=new_id(), case=kit.case, kit=kit.books.kit, film=film, clips=(), at=NOON
    )
    return msgspec.structs.replace(order, **changes)


def service_order(stage: Stage, film: str = "", **changes: Any) -> ServiceOrder:
    order = ServiceOrder(number=1, kit=stage.books.kit, case=stage.case, film=film, at=NOON)
    return msgspec.structs.replace(order, **changes)


def tombstone(kit: Stage, **changes: Any) -> Tombstone:
    removed = tuple(f"cases/{kit.case}/identity-000{number}.age" for number in (1, 2))
    stone = Tombstone(order=new_id(), case=kit.case, at=NOON, removed=removed)
    return msgspec.structs.replace(stone, **changes)


def another_case(kit: Stage) -> tuple[str, str]:
    """Another family's case and its film."""
    mine, kit.case = kit.case, kit.make_case()
    recording = make_film(kit)
    other, kit.case = kit.case, mine
    return other, recording


def test_a_withdrawal_on_the_card_takes_every_film_of_its_case_and_no_other(kit: Stage) -> None:
    _, theirs = another_case(kit)
    mine = [make_film(kit), make_film(kit)]
    note = signed(PRACTITIONER.signer, withdrawal(kit))
    save(kit.home.case(kit.case) / "withdrawal", note.encode())
    kit.notice()
    assert here(kit) == {theirs}
    removed = note_of(kit, mine[0])
    assert (removed.why, removed.order) == ("order", hashlib.sha256(note.encode()).hexdigest())


def test_a_withdrawal_in_the_midst_of_a_film_takes_that_one_too(kit: Stage) -> None:
    kit.arm()
    kit.press()
    kit.advance(1)
    note = signed(PRACTITIONER.signer, withdrawal(kit))
    save(kit.home.case(kit.case) / "withdrawal", note.encode())
    kit.notice()
    kit.settle()
    kit.advance(1.1)
    assert here(kit) == set()
    assert kit.status.removable == 0


def test_the_service_takes_a_film_or_a_case_through_the_inbox(kit: Stage) -> None:
    first, second, third = make_film(kit), make_film(kit), make_film(kit)
    kit.home.prepare(kit.home.inbox)
    save(kit.home.inbox / "1", signed(SERVICE.signer, service_order(kit, second)).encode())
    kit.advance(1.1)
    assert here(kit) == {first, third}
    save(kit.home.inbox / "2", signed(SERVICE.signer, service_order(kit)).encode())
    kit.advance(1.1)
    assert here(kit) == set()


@pytest.mark.parametrize("place", ["withdrawn-there", "withdrawn/film"])
def test_what_the_page_has_from_the_service_is_carried_out_here_too(kit: Stage, place: str) -> None:
    _, theirs = another_case(kit)
    mine, other = make_film(kit), make_film(kit)
    order = tombstone(kit) if place == "withdrawn-there" else service_order(kit, mine)
    path = kit.home.case(kit.case) / place.replace("film", mine)
    path.parent.mkdir(exist_ok=True)
    save(path, signed(SERVICE.signer, order).encode())
    kit.advance(1.1)
    assert here(kit) == ({theirs} if place == "withdrawn-there" else {theirs, other})


def test_the_page_brings_a_signed_order_and_gets_an_answer(kit: Stage) -> None:
    first, second = make_film(kit), make_film(kit)
    note = signed(PRACTITIONER.signer, film_withdrawal(kit, first))
    assert ask(kit, note) == "done"
    assert here(kit) == {second}
    # Asked again, there is nothing left to do.
    assert ask(kit, note) == "done"
    assert here(kit) == {second}


Order = Callable[[Stage, str], str]
DOUBTFUL: dict[str, Order] = {
    "a stranger's": lambda kit, film: signed(STRANGER.signer, withdrawal(kit)),
    "the service in the place of a practitioner": lambda kit, film: signed(
        SERVICE.signer, withdrawal(kit)
    ),
    "a practitioner in the place of the service": lambda kit, film: signed(
        PRACTITIONER.signer, service_order(kit, film)
    ),
    "a service's order for another kit": lambda kit, film: signed(
        SERVICE.signer, service_order(kit, film, kit=new_id())
    ),
    "altered": lambda kit, film: signed(
        PRACTITIONER.signer, film_withdrawal(kit, new_id())
    ).replace('"kit"', '"kit" '),
    "a tombstone while the service holds the keys": lambda kit, film: signed(
        SERVICE.signer, tombstone(kit, held=True)
    ),
    "a tombstone for one film": lambda kit, film: signed(
        SERVICE.signer, tombstone(kit, whole=False)
    ),
    "a tombstone that removed nothing": lambda kit, film: signed(
        SERVICE.signer, tombstone(kit, removed=())
    ),
    "a practitioner's tombstone": lambda kit, film: signed(PRACTITIONER.signer, tombstone(kit)),
    "no order at all": lambda kit, film: signed(PRACTITIONER.signer, kit.permit()),
    "no note": lambda kit, film: "remove everything",
    "nothing": lambda kit, film: "",
    "a huge one": lambda kit, film: "x" * 100_000,
}


@pytest.mark.parametrize("why", DOUBTFUL)
def test_an_order_in_doubt_removes_nothing(kit: Stage, why: str) -> None:
    recording = make_film(kit)
    kit.home.prepare(kit.home.inbox)
    note = DOUBTFUL[why](kit, recording)
    assert ask(kit, note) == "refused"
    save(kit.home.case(kit.case) / "withdrawal", note.encode())
    save(kit.home.inbox / new_id(), note.encode())
    kit.advance(2.1)
    assert here(kit) == {recording}
    assert not list(kit.home.removed.iterdir())


# --- What an order closes -----------------------------------------------------------------------


def refused(kit: Stage, **changes: Any) -> str:
    """Arm the kit for its case and press; returns why nothing is filmed."""
    kit.arm(**changes)
    kit.press()
    assert kit.state is State.REFUSED and not kit.camera.open
    reason = kit.status.reason
    kit.advance(2.1)
    return reason


def taken_over(kit: Stage) -> None:
    """The page takes every order away again and says that the case is open."""
    for name in ("withdrawal", "withdrawn-there", "hold"):
        (kit.home.case(kit.case) / name).unlink(missing_ok=True)
    for path in kit.home.inbox.glob("*"):
        path.unlink()
    kit.write_case(kit.case, "open")


WHOLE: dict[str, Callable[[Stage], tuple[str, str]]] = {
    "a withdrawal": lambda kit: ("withdrawal", signed(PRACTITIONER.signer, withdrawal(kit))),
    "a withdrawal on hold": lambda kit: (
        "withdrawal",
        signed(PRACTITIONER.signer, withdrawal(kit, held=NOON)),
    ),
    "the service's order": lambda kit: (
        "withdrawn-there",
        signed(SERVICE.signer, service_order(kit)),
    ),
    "a tombstone": lambda kit: ("withdrawn-there", signed(SERVICE.signer, tombstone(kit))),
    "a tombstone on hold": lambda kit: (
        "withdrawn-there",
        signed(SERVICE.signer, tombstone(kit, held=True, removed=())),
    ),
}


@pytest.mark.parametrize("filmed", [True, False])
@pytest.mark.parametrize("how", WHOLE)
def test_a_page_that_takes_a_withdrawal_away_again_cannot_arm_that_case(
    kit: Stage, tmp_path: Path, how: str, filmed: bool
) -> None:
    if filmed:
        make_film(kit)
    name, note = WHOLE[how](kit)
    save(kit.home.case(kit.case) / name, note.encode())
    kit.advance(1.1)
    assert refused(kit) == "withdrawn"
    taken_over(kit)
    assert refused(kit) == "case-closed"
    # Nor with another key of the case, nor after the power was cut.
    assert refused(kit, recipient=str(generate_identity(x25519=True).recipient)) != ""
    kit.close()
    kit.clock.advance(1)
    again = Stage(tmp_path, clock=kit.clock)
    again.case, others = kit.case, again.case
    assert refused(again) == "case-closed"
    again.case = others
    again.arm()
    assert again.state is State.READY
    assert again.events().count("case-closed") == 1
    again.close()


def test_a_withdrawal_that_the_page_brings_and_leaves_nowhere_closes_the_case_too(
    kit: Stage,
) -> None:
    assert ask(kit, signed(PRACTITIONER.signer, withdrawal(kit))) == "done"
    assert refused(kit) == "case-closed"


@pytest.mark.parametrize(
    "note",
    [
        lambda kit, film: signed(PRACTITIONER.signer, film_withdrawal(kit, film)),
        lambda kit, film: signed(SERVICE.signer, service_order(kit, film)),
        lambda kit, film: signed(SERVICE.signer, tombstone(kit, whole=False)),
        lambda kit, film: signed(STRANGER.signer, withdrawal(kit)),
        lambda kit, film: signed(SERVICE.signer, service_order(kit, kit=new_id())),
        lambda kit, film: signed(PRACTITIONER.signer, tombstone(kit)),
    ],
    ids=[
        "one film",
        "the service's, one film",
        "of a part",
        "a stranger's",
        "other kit",
        "not its",
    ],
)
def test_what_takes_back_less_than_everything_or_is_not_believed_closes_no_case(
    kit: Stage, note: Order
) -> None:
    recording = make_film(kit)
    ask(kit, note(kit, recording))
    kit.home.prepare(kit.home.inbox)
    save(kit.home.inbox / "1", note(kit, recording).encode())
    kit.advance(1.1)
    kit.arm()
    assert kit.state is State.READY and not kit.books.books.closed


def test_made_up_withdrawals_push_out_none_that_is_true(kit: Stage) -> None:
    make_film(kit)
    for _ in range(2):
        for _ in range(250):
            kit.books.close(new_id())
        assert len(kit.books.books.closed) == 200
    ask(kit, signed(PRACTITIONER.signer, withdrawal(kit)))
    assert len(kit.books.books.closed) == 201
    assert refused(kit) == "case-closed"


# --- Whose order it is --------------------------------------------------------------------------

COLLEAGUE = PrivateKeys.generate("practitioner", x25519=True)


def let_in(
    stage: Stage,
    signer: Signer = PRACTITIONER.signer,
    who: PrivateKeys = COLLEAGUE,
    **changes: Any,
) -> str:
    said = Joined(kit=stage.books.kit, case=stage.case, verifier=str(who.signer.verifier))
    note = signed(signer, msgspec.structs.replace(said, **changes))
    now = stage.clock.read()
    return stage.ask(LetIn(id=new_id(), boot=now.boot, boottime=now.boottime, note=note))


@pytest.fixture
def shared(kit: Stage) -> Stage:
    """A kit with a colleague on it, who works with other families."""
    kit.books.enrol(SERVICE.card(), COLLEAGUE.card())
    return kit


@pytest.mark.parametrize("way", ["asked", "in the case", "in the inbox"])
@pytest.mark.parametrize("whole", [True, False])
def test_a_colleague_of_other_families_removes_no_film_of_this_one(
    shared: Stage, whole: bool, way: str
) -> None:
    """One page that was taken over, or one angry leaver, and every family's films were gone."""
    kit, film = shared, make_film(shared)
    order: Fact = withdrawal(kit) if whole else film_withdrawal(kit, film)
    note = signed(COLLEAGUE.signer, order)
    if way == "asked":
        assert ask(kit, note) == "refused"
    elif way == "in the case":
        path = kit.home.case(kit.case) / ("withdrawal" if whole else f"withdrawn/{film}")
        path.parent.mkdir(exist_ok=True)
        save(path, note.encode())
    else:
        kit.home.prepare(kit.home.inbox)
        save(kit.home.inbox / "1", note.encode())
    kit.advance(2.2)
    assert here(kit) == {film} and not list(kit.home.removed.iterdir())
    # What is in doubt is not filmed either.
    assert (kit.case in kit.books.books.closed) is whole
    # Whose family it is, and the service, are obeyed.
    mine: Fact = withdrawal(kit) if whole else film_withdrawal(kit, film)
    assert ask(kit, signed(PRACTITIONER.signer, mine)) == "done"
    assert here(kit) == set()


def test_an_order_that_is_still_being_written_removes_no_film(kit: Stage) -> None:
    film = make_film(kit)
    directory = kit.home.case(kit.case).film_orders
    note = signed(PRACTITIONER.signer, film_withdrawal(kit, film))
    directory.mkdir()
    half_named = directory / f".{film}.0123abcd.new"
    save(half_named, note.encode())
    kit.advance(1.1)
    # The page may be killed before it gives it its name; then nobody has ordered anything.
    assert here(kit) == {film}
    half_named.rename(directory / film)
    kit.advance(1.1)
    assert here(kit) == set()


def test_more_cases_in_a_day_than_families_end_wait_for_the_services_answer(
    kit: Stage, tmp_path: Path
) -> None:
    mine = kit.case
    cases = [another_case(kit) for _ in range(MOST_A_DAY + 2)]
    for case, _film in cases:
        note = signed(PRACTITIONER.signer, withdrawal(kit, case=case))
        save(kit.home.case(case) / "withdrawal", note.encode())
        kit.advance(1.1)
    assert here(kit) == {film for _case, film in cases[MOST_A_DAY:]}
    # What waits is filmed no more. A pulled plug makes no yes of it.
    assert {case for case, _film in cases} <= kit.books.books.closed
    assert len(KitBooks(kit.home).books.ended) == MOST_A_DAY
    kit.home.prepare(kit.home.inbox)
    case, film = cases[-1]
    answer = tombstone(kit, case=case, removed=(f"cases/{case}/identity-0001.age",))
    save(kit.home.inbox / "1", signed(SERVICE.signer, answer).encode())
    kit.advance(1.1)
    assert film not in here(kit) and cases[MOST_A_DAY][1] in here(kit)
    # What they signed before counts, and so does the next day.
    assert kit.books.may_end(cases[0][0], PRACTITIONER.signer.verifier, NOON)
    assert not kit.books.may_end(mine, PRACTITIONER.signer.verifier, None)
    assert kit.books.may_end(mine, PRACTITIONER.signer.verifier, NOON + timedelta(days=2))
    assert kit.books.may_end(new_id(), COLLEAGUE.signer.verifier, NOON)


def test_the_service_ends_as_many_cases_in_a_day_as_it_says(kit: Stage) -> None:
    cases = [another_case(kit) for _ in range(MOST_A_DAY + 2)]
    for number, (case, _film) in enumerate(cases, 1):
        order = service_order(kit, case=case, number=number)
        assert ask(kit, signed(SERVICE.signer, order)) == "done"
    assert here(kit) == set() and not kit.books.books.ended


def test_a_case_of_which_nothing_is_here_counts_among_nobodys(kit: Stage) -> None:
    """Its films may be on another kit; what ends here is what is removed here."""
    for _ in range(MOST_A_DAY + 2):
        note = signed(PRACTITIONER.signer, withdrawal(kit, case=kit.make_case()))
        assert ask(kit, note) == "done"
    case, film = another_case(kit)
    assert ask(kit, signed(PRACTITIONER.signer, withdrawal(kit, case=case))) == "done"
    assert film not in here(kit)


def test_an_order_for_a_film_that_names_none_removes_nothing(kit: Stage) -> None:
    film = make_film(kit)
    assert ask(kit, signed(PRACTITIONER.signer, film_withdrawal(kit, ""))) == "refused"
    assert here(kit) == {film}
    assert not kit.books.books.closed and not kit.books.books.ended


def test_a_film_of_each_case_is_no_way_round_what_may_end_in_a_day(kit: Stage) -> None:
    cases = [another_case(kit) for _ in range(MOST_FILMED_A_DAY + 1)]
    answers = [
        ask(kit, signed(PRACTITIONER.signer, film_withdrawal(kit, film, case=case)))
        for case, film in cases
    ]
    assert answers == ["done"] * MOST_FILMED_A_DAY + ["refused"]
    case, film = cases[-1]
    assert here(kit) == {film}
    # Not as a whole either, nor after a pulled plug.
    assert ask(kit, signed(PRACTITIONER.signer, withdrawal(kit, case=case))) == "refused"
    who, books = PRACTITIONER.signer.verifier, KitBooks(kit.home)
    assert not books.may_end(case, who, NOON, films=True) and not books.may_end(case, who, NOON)
    # More of the same family is no more families; having taken one back ends no case.
    assert books.may_end(cases[0][0], who, NOON, films=True)
    assert not books.may_end(cases[0][0], who, NOON)
    later = NOON + timedelta(days=2)
    assert books.may_end(case, who, later, films=True) and books.may_end(case, who, later)
    # What was counted long ago is counted anew.
    for filmed, _film in cases[1:MOST_FILMED_A_DAY]:
        assert books.may_end(filmed, who, later, films=True)
    assert not books.may_end(cases[0][0], who, later, films=True)
    service = service_order(kit, film, case=case)
    assert ask(kit, signed(SERVICE.signer, service)) == "done"
    assert here(kit) == set()


def test_the_service_removes_films_whoever_made_them(shared: Stage) -> None:
    film = make_film(shared)
    assert ask(shared, signed(SERVICE.signer, service_order(shared, film))) == "done"
    assert here(shared) == set()


def test_who_filmed_a_family_under_an_order_of_their_own_may_withdraw_it(shared: Stage) -> None:
    kit, first = shared, make_film(shared)
    kit.place(signed(COLLEAGUE.signer, kit.permit()))
    # Armed alone is nothing: it took no press.
    assert ask(kit, signed(COLLEAGUE.signer, film_withdrawal(kit, first))) == "refused"
    kit.press()
    kit.advance(1)
    kit.press()
    kit.settle()
    assert ask(kit, signed(COLLEAGUE.signer, film_withdrawal(kit, first))) == "done"
    assert first not in here(kit)


def test_who_works_with_a_family_when_it_is_filmed_may_withdraw_it(shared: Stage) -> None:
    """The order to film names them, and it took a press; who is not on this kit is not noted."""
    kit = shared
    names = (str(COLLEAGUE.signer.verifier), str(STRANGER.signer.verifier))
    film = make_film(kit, people=names)
    assert set(kit.books.books.people[kit.case]) == {
        str(PRACTITIONER.signer.verifier),
        str(COLLEAGUE.signer.verifier),
    }
    assert ask(kit, signed(COLLEAGUE.signer, film_withdrawal(kit, film))) == "done"


def test_who_was_let_in_may_withdraw_after_the_next_start_too(shared: Stage) -> None:
    kit, film = shared, make_film(shared)
    assert let_in(kit) == "done"
    assert KitBooks(kit.home).is_of(kit.case, COLLEAGUE.signer.verifier)
    assert ask(kit, signed(COLLEAGUE.signer, withdrawal(kit))) == "done"
    assert here(kit) == set() and film


@pytest.mark.parametrize(
    "changes",
    [
        {"signer": COLLEAGUE.signer},
        {"signer": SERVICE.signer},
        {"signer": STRANGER.signer},
        {"who": STRANGER},
        {"kit": new_id()},
        {"case": new_id()},
        {"case": "../x"},
    ],
    ids=["themselves", "the service", "a stranger", "who: a stranger", "kit", "case", "no case"],
)
def test_nobody_lets_in_but_whose_family_it_is(shared: Stage, changes: dict[str, Any]) -> None:
    kit, film = shared, make_film(shared)
    assert let_in(kit, **changes) == "refused"
    assert ask(kit, signed(COLLEAGUE.signer, film_withdrawal(kit, film))) == "refused"
    assert here(kit) == {film}


@pytest.mark.parametrize("alone", [True, False])
def test_films_from_before_it_was_noted_are_of_the_one_who_was_ever_here_or_the_services(
    kit: Stage, alone: bool
) -> None:
    film = make_film(kit)
    if not alone:
        kit.books.enrol(SERVICE.card(), COLLEAGUE.card())
    path = kit.home.kit / "books.json"
    told = json.loads(path.read_text())
    del told["people"]
    path.write_text(json.dumps(told))
    kit.books.books = KitBooks(kit.home).books
    assert not kit.books.books.people
    note = signed(PRACTITIONER.signer, film_withdrawal(kit, film))
    assert ask(kit, note) == ("done" if alone else "refused")
    assert ask(kit, signed(SERVICE.signer, service_order(kit, film))) == "done"
    assert here(kit) == set()


def test_books_from_before_there_were_closed_cases_are_read(kit: Stage) -> None:
    make_film(kit)
    path = kit.home.kit / "books.json"
    path.write_text(path.read_text().replace(',"closed":[]', ""))
    assert "closed" not in path.read_text()
    assert KitBooks(kit.home).books == kit.books.books


def test_a_pipe_in_the_place_of_an_order_does_not_hold_up_the_button(kit: Stage) -> None:
    recording = make_film(kit)
    kit.home.prepare(kit.home.inbox)
    os.mkfifo(kit.home.inbox / new_id())
    os.mkfifo(kit.home.case(kit.case) / "withdrawn-there")
    (kit.home.web_requests / f"{new_id()}.json").symlink_to("/dev/zero")
    os.mkfifo(kit.home.web_requests / f"{new_id()}.json")
    kit.advance(2.1)
    assert here(kit) == {recording}
    kit.press()
    kit.advance(1.1)
    assert kit.state is State.REFUSED


def test_an_order_for_one_familys_film_in_anothers_name_removes_nothing(kit: Stage) -> None:
    other, theirs = another_case(kit)
    mine = make_film(kit)
    assert ask(kit, signed(PRACTITIONER.signer, film_withdrawal(kit, theirs))) == "refused"
    assert here(kit) == {mine, theirs}
    order = film_withdrawal(kit, mine, case=other)
    assert ask(kit, signed(PRACTITIONER.signer, order)) == "refused"
    assert here(kit) == {mine, theirs}


def test_a_case_on_hold_keeps_its_films_until_the_hold_is_gone(kit: Stage) -> None:
    recording = make_film(kit)
    hold = kit.home.case(kit.case) / "hold"
    hold.write_text("")
    note = signed(PRACTITIONER.signer, withdrawal(kit, held=NOON))
    save(kit.home.case(kit.case) / "withdrawal", note.encode())
    kit.advance(1.1)
    assert here(kit) == {recording}
    assert ask(kit, note) == "refused"
    hold.unlink()
    kit.advance(1.1)
    assert here(kit) == set()


def test_a_film_whose_manifest_cannot_be_read_is_left_alone(kit: Stage) -> None:
    recording = make_film(kit)
    kit.removals = Removals(kit.home, kit.books, kit.log, lambda: NOON, emptying=False)
    (kit.home.recording(recording) / "manifest").write_text("damaged")
    kit.removals.by_button(recording)
    kit.removals.ordered(signed(PRACTITIONER.signer, withdrawal(kit)))
    assert here(kit) == {recording}


def test_what_the_card_refused_is_not_tried_again_before_the_next_start(kit: Stage) -> None:
    recording = make_film(kit)
    save(
        kit.home.case(kit.case) / "withdrawal",
        signed(PRACTITIONER.signer, withdrawal(kit)).encode(),
    )
    kit.home.removed.rmdir()
    kit.home.removed.write_text("")
    with pytest.raises(OSError, match="directory"):
        kit.removals.look()
    kit.removals.look()
    kit.home.removed.unlink()
    kit.home.removed.mkdir()
    kit.removals.look()
    assert here(kit) == {recording}
    Removals(kit.home, kit.books, kit.log, lambda: NOON, emptying=False).look()
    assert here(kit) == set()


def test_an_order_for_what_is_no_case_closes_nothing(kit: Stage) -> None:
    assert ask(kit, signed(PRACTITIONER.signer, withdrawal(kit, case="../elsewhere"))) == "refused"
    assert not kit.books.books.closed


def test_a_film_of_nobody_knows_whom_is_left_alone(kit: Stage) -> None:
    recording = make_film(kit)
    manifest = kit.home.recording(recording) / "manifest"
    manifest.write_text(manifest.read_text().replace(kit.case, "../../elsewhere"))
    assert not kit.removals.may_remove(recording)


def test_a_film_under_way_is_not_removed(kit: Stage) -> None:
    kit.arm()
    kit.press()
    kit.advance(1)
    (recording,) = here(kit)
    assert not kit.removals.may_remove(recording)
    kit.press()
    kit.settle()
    assert kit.removals.may_remove(recording)


def test_an_order_for_a_family_of_which_no_film_is_here_is_carried_out_whoever_gives_it(
    shared: Stage,
) -> None:
    case = new_id()
    assert ask(shared, signed(COLLEAGUE.signer, withdrawal(shared, case=case))) == "done"


def test_nothing_is_removed_on_the_pages_word_while_a_film_is_made(kit: Stage) -> None:
    first = make_film(kit)
    kit.press()
    assert kit.camera.open
    assert ask(kit, signed(PRACTITIONER.signer, film_withdrawal(kit, first))) == "refused"
    assert first in here(kit)
    kit.press()
    kit.settle()
    assert ask(kit, signed(PRACTITIONER.signer, film_withdrawal(kit, first))) == "done"
