"""Taking back, cut at any step, ordered from afar, held: it is done, once, never turned round."""

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

from appliance.age.sealing import VERSION_LINE, seal
from appliance.age.unsealing import unseal
from appliance.casework.clips import Clip, shelf
from appliance.casework.closing import withdraw
from appliance.casework.consent import Hold
from appliance.casework.withdrawal import (
    Carried,
    finish_everything,
    hear_service,
    lift_hold,
    place_hold,
    withdraw_film,
)
from appliance.errors import CaseWithdrawn, NoMatch
from appliance.protocol.case_record import (
    film_order,
    films_withdrawn,
    held,
    hold_notice,
    is_film_withdrawn,
    is_withdrawn,
    withdrawal_note,
)
from appliance.protocol.enrolment import Enrolled
from appliance.protocol.objects import order_object, service_order_object, tombstone_object
from appliance.protocol.orders import FilmWithdrawal, ServiceOrder, Tombstone, Withdrawal, hold_name
from appliance.protocol.retention import keep_name
from appliance.records.files import Fact, Home, from_json, new_id, save, to_json
from appliance.records.signing import Signer, open_note
from appliance.stores.folder import FolderStore
from appliance.vault.cases import Details, OpenCase
from appliance.vault.keys import PrivateKeys
from tests.support.homes import (
    STARTED,
    SendingKit,
    contents,
    desk,
    mended_note,
    new_store,
    practitioner,
    served,
    service,
    withdraw_at_service,
)

HOLD = Hold(
    role="safeguarding lead", reason="words of the hold", review=STARTED + timedelta(30), at=STARTED
)


@pytest.fixture
def kit(tmp_path: Path) -> SendingKit:
    new_store(tmp_path / "store")
    made = SendingKit(tmp_path, tmp_path / "store")
    made.home.prepare(made.home.inbox)
    return made


def filmed(kit: SendingKit, films: int = 2) -> tuple[OpenCase, list[str]]:
    """A case with films, and a moment cut from each."""
    case = kit.case()
    made = [kit.film(case.id) for _ in range(films)]
    for film in made:
        add_moment(case, film)
    return case, made


def add_moment(case: OpenCase, film: str) -> str:
    clip = Clip(
        id=new_id(), recording=film, start=0, end=30, scale=30, frames=30, size=9, sha256="0" * 64,
        made=STARTED,
    )  # fmt: skip
    case.write(clip, clip.id)
    save(case.clips / clip.file, VERSION_LINE + b"sealed all right")
    derived = case.directory / "derived" / film
    derived.mkdir(parents=True, exist_ok=True)
    save(derived / "0000.mended", mended_note(film, 0, practitioner().signer))
    return clip.id


def opened(kit: SendingKit, case: str) -> OpenCase:
    return kit.cases.open(case, practitioner(), [practitioner().signer.verifier])


def about(directory: Path, film: str, case: OpenCase) -> list[str]:
    """What still lies in a case of a film: moments, their words, what was mended."""
    kept = shelf(case)
    found = [one.id for one in (*kept.chosen, *kept.aside) if one.recording == film]
    return found + [str(path) for path in directory.glob(f"derived/{film}")]


# One film.


def test_one_film_is_taken_back_with_every_moment_of_it_and_the_other_stays(
    kit: SendingKit,
) -> None:
    case, (gone, stays) = filmed(kit)
    order = withdraw_film(case, gone, kit.id, STARTED)
    assert (order.film, order.case, len(order.clips)) == (gone, case.id, 1)
    assert is_film_withdrawn(case.directory, gone) and not is_film_withdrawn(case.directory, stays)
    assert about(case.directory, gone, case) == []
    assert not (case.clips / f"{order.clips[0]}.mp4.age").exists()
    assert len(about(case.directory, stays, case)) == 2
    again = opened(kit, case.id)
    assert again.read(Details) and films_withdrawn(again.directory) == [gone]


def test_what_was_noted_of_a_film_that_is_taken_back_goes_and_what_is_of_others_stays(
    kit: SendingKit,
) -> None:
    case, (gone, stays) = filmed(kit)
    documents = case.directory / "documents"
    before = set(documents.iterdir())
    of = {film: [f"marks-{film}-0001.age", f"enough-{film}-0001.age"] for film in (gone, stays)}
    for names in of.values():
        for name in names:
            save(documents / name, VERSION_LINE)
    order = withdraw_film(case, gone, kit.id, STARTED)
    (clip,) = order.clips
    left = {path for path in before if f"-{clip}-" not in path.name}
    assert len(left) == len(before) - 1
    assert set(documents.iterdir()) == left | {documents / name for name in of[stays]}


def test_every_film_can_be_taken_back_one_after_the_other(kit: SendingKit) -> None:
    case, films = filmed(kit, 3)
    for film in films:
        withdraw_film(case, film, kit.id, STARTED)
    assert films_withdrawn(case.directory) == sorted(films)
    assert [about(case.directory, film, case) for film in films] == [[], [], []]


def test_a_moment_that_nobody_can_read_any_more_goes_with_its_film_or_where_that_is_not_known(
    kit: SendingKit,
) -> None:
    case, (gone, stays) = filmed(kit)
    unsure = add_moment(case, stays)
    for clip in case.read_all(Clip):
        (path,) = case.directory.glob(f"documents/clip-{clip.id}-*.age")
        if clip.id == unsure:
            path.write_bytes(path.read_bytes()[:-1])
            continue
        # As a newer kit writes it: which film it is of can still be told.
        note = unseal(path.read_bytes(), case.identities).decode()
        text = note.partition("\n\n")[0].replace("clip/v1", "clip/v9") + "\n"
        sealed = seal(practitioner().signer.sign(text).encode(), [case.identity.recipient])
        path.write_bytes(sealed)
        if clip.recording == gone:
            of_it = clip.id
    order = withdraw_film(opened(kit, case.id), gone, kit.id, STARTED)
    assert set(order.clips) == {of_it, unsure}


def test_the_order_for_a_film_is_signed_and_said_twice_is_one(kit: SendingKit) -> None:
    case, (film,) = filmed(kit, 1)
    first = withdraw_film(case, film, kit.id, STARTED)
    assert withdraw_film(case, film, kit.id, STARTED + timedelta(1)) == first
    note = (case.directory / "withdrawn" / film).read_text()
    text, _ = open_note(note, [practitioner().signer.verifier])
    assert from_json(text, FilmWithdrawal) == first


def test_the_service_removes_its_copies_of_a_film_and_nothing_else_and_signs_for_it(
    kit: SendingKit,
) -> None:
    case, (gone, stays) = filmed(kit)
    kit.sync()
    before = contents(kit.store)
    order = withdraw_film(case, gone, kit.id, STARTED)
    kit.sync()
    store = FolderStore(kit.store)
    (outcome,) = served(store)
    assert (outcome.state, outcome.film) == ("done", gone)
    after = contents(kit.store)
    removed = {name for name in before if name not in after}
    assert {name for name in removed if f"/recordings/{gone}/" in name}
    assert all(gone in name or order.clips[0] in name for name in removed)
    assert not [name for name in after if gone in name or order.clips[0] in name]
    assert [name for name in after if f"/recordings/{stays}/" in name]
    assert f"cases/{case.id}/identity-0001.age" in after
    kit.sync()
    answer, _ = open_note((kit.home.inbox / order.id).read_text(), [service().signer.verifier])
    assert from_json(answer, Tombstone).order == order.id
    # The answer for one film closes nothing else.
    assert heard(kit) == [] and opened(kit, case.id)
    assert served(store)[0].state == "done-before"
    assert kit.sync().state == "sent"
    assert not [name for name in contents(kit.store) if f"/recordings/{gone}/" in name]


def test_a_false_answer_for_a_film_is_not_taken_in(kit: SendingKit) -> None:
    case, (film,) = filmed(kit, 1)
    order = withdraw_film(case, film, kit.id, STARTED)
    kit.sync()
    fact = Tombstone(order=order.id, case=case.id, at=STARTED, removed=())
    place(kit, tombstone_object(order.id), signed(fact, Signer.generate(service().card().name)))
    kit.sync()
    assert not (kit.home.inbox / order.id).exists()


# Cut at any step.

_STEPS = {"open", "os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.link", "os.truncate"}


def steps_of(act: Callable[[], object], stop_before: int, place: Path) -> bool:
    """Run `act` in a process that dies before its n-th change below `place`. True if it died."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    count = 0

    def die(event: str, details: tuple[object, ...]) -> None:
        nonlocal count
        if event not in _STEPS or (event == "open" and not _writes(details)):
            return
        if event == "open" and not str(details[0]).startswith(str(place)):
            return
        count += 1
        if count >= stop_before:
            os._exit(9)

    status = 1
    try:
        sys.addaudithook(die)
        act()
        status = 0
    finally:
        os._exit(status)


def _writes(details: tuple[object, ...]) -> bool:
    mode, flags = details[1], details[2]
    writing = isinstance(mode, str) and any(letter in mode for letter in "wax+")
    return writing or (isinstance(flags, int) and bool(flags & (os.O_WRONLY | os.O_RDWR)))


def cut_everywhere(
    kit: SendingKit, case: OpenCase, act: Callable[[], object], check: Callable[[bool], None]
) -> int:
    """Cut `act` before each of its changes, start the kit again, and check; returns how often."""
    before = kit.root / "before"
    shutil.copytree(kit.home.root, before)
    for step in range(1, 200):
        shutil.rmtree(kit.home.root)
        shutil.copytree(before, kit.home.root)
        died = steps_of(act, step, kit.home.root)
        kit.home.prepare(kit.home.cases)
        assert finish_everything(kit.home) == []
        check(died)
        if not died:
            return step - 1
    raise AssertionError("It never came to its end.")


def test_a_withdrawal_cut_before_each_of_its_changes_is_not_begun_or_is_completed_at_the_next_start(
    kit: SendingKit,
) -> None:
    case, _ = filmed(kit)
    colleague = PrivateKeys.generate("practitioner").card()
    both = Enrolled(service=service().card(), practitioners=(practitioner().card(), colleague))
    kit.cases.admit(case, colleague, both)
    seen = set()

    def check(died: bool) -> None:
        left = sorted(path.name for path in case.directory.iterdir())
        if is_withdrawn(case.directory):
            seen.add("completed")
            assert left == ["case.json", "withdrawal"]
            assert [record.state for record in kit.cases.records()] == ["withdrawn"]
            with pytest.raises(CaseWithdrawn):
                opened(kit, case.id)
        else:
            seen.add("not begun")
            assert died and opened(kit, case.id).read(Details)

    steps = cut_everywhere(
        kit, case, lambda: withdraw(case.directory, practitioner(), kit.id, STARTED), check
    )
    assert steps > 15 and seen == {"completed", "not begun"}


def test_a_films_withdrawal_cut_before_each_of_its_changes_is_not_begun_or_is_completed(
    kit: SendingKit,
) -> None:
    case, (gone, stays) = filmed(kit)
    seen = set()

    def check(died: bool) -> None:
        again = opened(kit, case.id)
        begun = is_film_withdrawn(again.directory, gone)
        seen.add(begun)
        assert bool(about(again.directory, gone, again)) is not begun
        assert len(list((again.directory / "clips").iterdir())) == (2 if begun else 3)
        assert len(about(again.directory, stays, again)) == 2

    steps = cut_everywhere(kit, case, lambda: withdraw_film(case, gone, kit.id, STARTED), check)
    assert steps > 5 and seen == {True, False}


@pytest.mark.parametrize("record", [b"", b"{", b"\xff"])
def test_a_damaged_record_and_a_link_in_the_case_stop_no_withdrawal(
    kit: SendingKit, tmp_path: Path, record: bytes
) -> None:
    """Attack: a page that was taken over leaves a link, so that a withdrawal ends in the midst, or
    takes away what lies elsewhere."""
    case, _ = filmed(kit)
    elsewhere = tmp_path / "elsewhere"
    save_under(elsewhere, "kept", b"another's")
    case.directory.record.write_bytes(record)
    # Before and after all that is to go.
    for name in ("aaa", "zzz"):
        (case.directory / name).symlink_to(elsewhere)
    withdraw(case.directory, practitioner(), kit.id, STARTED)
    left = sorted(path.name for path in case.directory.iterdir())
    assert left == ["aaa", "case.json", "withdrawal", "zzz"]
    assert (elsewhere / "kept").read_bytes() == b"another's"


# Holds.


def test_a_hold_keeps_everything_from_being_removed_and_ends_everything_all_the_same(
    kit: SendingKit,
) -> None:
    case, _ = filmed(kit)
    place_hold(case, HOLD, service().chain)
    order = withdraw(case.directory, practitioner(), kit.id, STARTED)
    assert order.held == HOLD.review
    assert (case.directory / "identity-0001.age").exists()
    assert (case.directory / "documents").exists()
    assert [record.state for record in kit.cases.records()] == ["withdrawn"]
    with pytest.raises(CaseWithdrawn):
        opened(kit, case.id)
    assert finish_everything(kit.home) == []
    assert (case.directory / "identity-0001.age").exists()


def test_what_is_known_of_a_case_goes_with_it_and_stays_as_long_as_it_is_held(
    kit: SendingKit,
) -> None:
    """Until when it was kept, who worked with the family, and why it was held."""
    case, _ = filmed(kit)
    place_hold(case, HOLD, service().chain)
    for name in (keep_name(1, kit.id), f"team-0001-{'a' * 16}"):
        save(case.directory / name, b"?")
    case.directory.lifted.mkdir(exist_ok=True)
    why = case.directory.lifted / f"why-{'a' * 16}.age"
    save(why, b"?")
    told = ("keep-", "team-")

    def there() -> list[str]:
        return [one.name for one in case.directory.iterdir() if one.name.startswith(told)]

    before = sorted(there())
    assert len(before) >= 2
    withdraw(case.directory, practitioner(), kit.id, STARTED)
    assert sorted(there()) == before and why.exists()
    lift_hold(case.directory, practitioner().signer, STARTED)
    withdraw(case.directory, practitioner(), kit.id, STARTED + timedelta(1))
    assert there() == [] and not list(case.directory.lifted.glob("why-*"))


def test_when_the_hold_is_lifted_what_waited_is_removed_by_a_new_order(kit: SendingKit) -> None:
    case, _ = filmed(kit)
    place_hold(case, HOLD, service().chain)
    first = withdraw(case.directory, practitioner(), kit.id, STARTED)
    notice = case.directory.hold.read_bytes()
    # One of before had no such folder.
    shutil.rmtree(case.directory.lifted)
    lift_hold(case.directory, practitioner().signer, STARTED)
    # For the service, which may not have heard of either.
    kept = case.directory.lifted / hold_name(notice)
    assert kept.read_bytes() == notice
    second = withdraw(case.directory, practitioner(), kit.id, STARTED + timedelta(9))
    assert sorted(case.directory.lifted.iterdir()) == [kept, kept.with_name(f"{kept.name}-lifted")]
    assert second.held is None and second.id != first.id and second.at == first.at
    left = sorted(path.name for path in case.directory.iterdir())
    assert left == ["case.json", "holds", "withdrawal"]


def test_what_is_taken_back_twice_under_a_hold_was_taken_back_once(kit: SendingKit) -> None:
    case, _ = filmed(kit)
    place_hold(case, HOLD, service().chain)
    first = withdraw(case.directory, practitioner(), kit.id, STARTED)
    again = withdraw(case.directory, practitioner(), kit.id, STARTED + timedelta(1))
    assert again == first and first.held


def test_a_hold_after_a_withdrawal_brings_nothing_back(kit: SendingKit) -> None:
    case, _ = filmed(kit)
    withdraw(case.directory, practitioner(), kit.id, STARTED)
    (case.directory / "hold").write_text("too late")
    order = withdraw(case.directory, practitioner(), kit.id, STARTED)
    assert order.held is None
    assert not list(case.directory.glob("identity-*"))


def test_a_hold_postpones_the_removal_of_one_film_too(kit: SendingKit) -> None:
    case, (film,) = filmed(kit, 1)
    place_hold(case, HOLD, service().chain)
    withdraw_film(case, film, kit.id, STARTED)
    assert is_film_withdrawn(case.directory, film) and about(case.directory, film, case)
    for _again in range(2):
        lift_hold(case.directory, practitioner().signer, STARTED)
    place_hold(case, HOLD, service().chain)
    lift_hold(case.directory, practitioner().signer, STARTED)
    withdraw_film(case, film, kit.id, STARTED)
    assert about(case.directory, film, case) == []


def test_a_hold_says_its_reason_to_nobody_without_a_key(kit: SendingKit) -> None:
    case, _ = filmed(kit)
    place_hold(case, HOLD, service().chain)
    notice = hold_notice(case.directory)
    assert notice and notice.until == HOLD.review and case.read(Hold) == HOLD
    assert not [n for n, data in contents(case.directory).items() if b"words of the hold" in data]


def test_a_damaged_notice_of_a_hold_still_holds(kit: SendingKit) -> None:
    case, _ = filmed(kit)
    (case.directory / "hold").write_bytes(b"\xff")
    assert held(case.directory) and hold_notice(case.directory) is None
    withdraw(case.directory, practitioner(), kit.id, STARTED)
    assert (case.directory / "identity-0001.age").exists()


def test_the_service_closes_a_held_case_and_keeps_its_key_until_the_hold_is_lifted(
    kit: SendingKit,
) -> None:
    case, _ = filmed(kit)
    kit.sync()
    place_hold(case, HOLD, service().chain)
    withdraw(case.directory, practitioner(), kit.id, STARTED)
    kit.sync()
    store = FolderStore(kit.store)
    assert [outcome.state for outcome in served(store)] == ["held"]
    key = f"cases/{case.id}/identity-0001.age"
    assert key in contents(kit.store)
    answer, _ = open_note(
        (kit.store / tombstone_object(case.id)).read_text(), [service().signer.verifier]
    )
    assert from_json(answer, Tombstone).held
    lift_hold(case.directory, practitioner().signer, STARTED)
    withdraw(case.directory, practitioner(), kit.id, STARTED)
    kit.sync()
    assert "done" in {outcome.state for outcome in served(store)}
    assert key not in contents(kit.store)
    answer, _ = open_note(
        (kit.store / tombstone_object(case.id)).read_text(), [service().signer.verifier]
    )
    told = from_json(answer, Tombstone)
    assert not told.held and told.removed == (key,)


# What the service orders.


def signed(fact: Fact, signer: Signer | None = None) -> bytes:
    return (signer or service().signer).sign(f"{to_json(fact).decode()}\n").encode()


def place(kit: SendingKit, name: str, data: bytes) -> None:
    (kit.store / name).parent.mkdir(parents=True, exist_ok=True)
    (kit.store / name).write_bytes(data)


def heard(kit: SendingKit) -> list[Carried]:
    return hear_service(kit.home).new


def test_a_family_that_calls_the_service_is_heard_on_every_kit(
    kit: SendingKit, tmp_path: Path
) -> None:
    case, _ = filmed(kit)
    kit.sync()
    store = FolderStore(kit.store)
    withdraw_at_service(store, case.id)
    assert [outcome.state for outcome in served(store)] == ["done"]
    assert not [name for name in contents(kit.store) if "identity" in name]
    kit.sync()
    assert heard(kit) == [Carried(case.id, "")]
    left = sorted(path.name for path in case.directory.iterdir())
    assert left == ["case.json", "withdrawn-there"]
    with pytest.raises(CaseWithdrawn):
        opened(kit, case.id)
    assert heard(kit) == []


@pytest.mark.parametrize("on_hold", [False, True])
def test_a_second_word_of_the_service_about_a_closed_case_is_no_news(
    kit: SendingKit, on_hold: bool
) -> None:
    """Two of its kits took the same case back: it answered both."""
    case, _ = filmed(kit)
    if on_hold:
        place_hold(case, HOLD, service().chain)
    kit.home.prepare(kit.home.inbox)
    key = f"cases/{case.id}/identity-0001.age"
    for number, news in ((1, [Carried(case.id, "")]), (2, [])):
        answer = Tombstone(order=new_id(), case=case.id, at=STARTED, removed=(key,))
        save(kit.home.inbox / "1", signed(answer))
        assert heard(kit) == news, f"word {number}"
    assert bool(list(case.directory.glob("identity-*"))) is on_hold


@pytest.mark.parametrize("first", [True, False])
def test_a_case_whose_record_is_damaged_is_taken_back_and_so_is_every_other(
    kit: SendingKit, first: bool
) -> None:
    """Attack: one record that nobody can read, and no family's call is heard any more."""
    cases = sorted((filmed(kit)[0] for _ in range(2)), key=lambda case: case.id, reverse=first)
    kit.sync()
    for case in cases:
        withdraw_at_service(FolderStore(kit.store), case.id)
    served(FolderStore(kit.store))
    kit.sync()
    cases[0].directory.record.write_bytes(b"{")
    assert {done.case for done in heard(kit)} == {case.id for case in cases}
    for case in cases:
        assert not list(case.directory.glob("identity-*"))
    assert heard(kit) == []


def test_an_order_that_cannot_be_carried_out_keeps_no_other_and_is_told(kit: SendingKit) -> None:
    stuck, (film,) = filmed(kit, 1)
    case, _ = filmed(kit)
    for number, order in enumerate(
        (order_for(kit, stuck.id, film=film), order_for(kit, case.id, number=2))
    ):
        save_under(kit.home.inbox, f"order-{number + 1:06}", signed(order))
    # A file where a folder belongs.
    stuck.directory.film_orders.write_bytes(b"")
    heard = hear_service(kit.home)
    assert heard.new == [Carried(case.id, "")]
    assert isinstance(heard.failed, OSError)
    assert not list(case.directory.glob("identity-*"))


def test_the_services_order_for_one_film_comes_in_once_and_is_carried_out(kit: SendingKit) -> None:
    case, (gone, stays) = filmed(kit)
    kit.sync()
    store = FolderStore(kit.store)
    with desk(store) as at_work:
        assert at_work.withdraw_film(kit.id, case.id, gone)
    served(store)
    kit.sync()
    assert heard(kit) == [Carried(case.id, gone)]
    assert films_withdrawn(case.directory) == [gone]
    assert isinstance(film_order(case.directory, gone), ServiceOrder)
    assert not is_film_withdrawn(case.directory, stays)
    assert not [name for name in contents(kit.store) if f"/recordings/{gone}/" in name]
    kit.sync()
    assert heard(kit) == []
    assert sorted(path.name for path in kit.home.inbox.glob("order-*")) == ["order-000001"]


def order_for(kit: SendingKit, case: str, /, **changes: object) -> ServiceOrder:
    order = ServiceOrder(number=1, kit=kit.id, case=case, film="", at=STARTED)
    return msgspec.structs.replace(order, **changes)


def test_the_service_speaks_of_a_case_that_is_not_here_and_nothing_is_made_of_it(
    kit: SendingKit,
) -> None:
    elsewhere = new_id()
    save(kit.home.inbox / "order-000001", signed(order_for(kit, elsewhere)))
    said = hear_service(kit.home)
    assert (said.new, said.failed) == ([], None) and not kit.home.case(elsewhere).exists()


def test_films_that_the_service_takes_back_go_at_once_one_after_the_other(kit: SendingKit) -> None:
    case, films = filmed(kit)
    for number, film in enumerate(films, 1):
        order = order_for(kit, case.id, film=film, number=number)
        save(kit.home.inbox / f"order-{number:06}", signed(order))
        assert hear_service(kit.home).new == [Carried(case.id, film)]
        assert not (case.directory / "derived" / film).exists()
    assert films_withdrawn(case.directory) == sorted(films)


def test_an_order_for_what_is_no_film_writes_nothing_anywhere(kit: SendingKit) -> None:
    case, _ = filmed(kit)
    before = contents(case.directory)
    save(kit.home.inbox / "order-000001", signed(order_for(kit, case.id, film="../elsewhere")))
    assert hear_service(kit.home).new == [] and contents(case.directory) == before


def test_a_case_that_is_being_withdrawn_here_is_not_taken_back_a_second_time(
    kit: SendingKit,
) -> None:
    case, _ = filmed(kit)
    save(case.directory / "withdrawal", b"cut off by a plug")
    save(kit.home.inbox / "order-000001", signed(order_for(kit, case.id)))
    assert hear_service(kit.home).new == []
    assert not (case.directory / "withdrawn-there").exists()


def test_what_could_not_be_finished_is_named_and_keeps_nothing_else_back(kit: SendingKit) -> None:
    made = [filmed(kit) for _case in range(3)]
    for case, (film, _stays) in made:
        (case.directory / "withdrawn").mkdir()
        save(case.directory / "withdrawn" / film, b"cut off by a plug")
    stuck, (film, _stays) = made[1]
    shutil.rmtree(stuck.directory / "derived" / film)
    (stuck.directory / "derived" / film).write_bytes(b"what a damaged card has here")
    assert finish_everything(kit.home) == [stuck.id]
    for case, (film, _stays) in (made[0], made[2]):
        assert not (case.directory / "derived" / film).exists()


def false_orders(kit: SendingKit, case: str) -> Iterator[bytes]:
    true = signed(order_for(kit, case))
    yield signed(order_for(kit, case), Signer.generate(service().card().name))
    yield signed(order_for(kit, case), practitioner().signer)
    yield signed(order_for(kit, case), kit.signer)
    yield signed(order_for(kit, case, kit=new_id()))
    yield signed(order_for(kit, case, number=2))
    yield true.replace(case.encode(), new_id().encode())
    yield signed(Withdrawal(id=new_id(), case=case, kit=kit.id, at=STARTED))
    yield b"\xff\0"
    yield b""


@pytest.mark.parametrize("number", range(9))
def test_an_order_that_is_forged_for_another_kit_or_out_of_turn_is_refused_and_told(
    kit: SendingKit, number: int
) -> None:
    case, _ = filmed(kit)
    place(kit, service_order_object(kit.id, 1), list(false_orders(kit, case.id))[number])
    status = kit.sync()
    assert [problem.code for problem in status.problems] == ["false-order"]
    assert heard(kit) == [] and opened(kit, case.id)


@pytest.mark.parametrize("number", range(9))
def test_a_false_order_in_the_inbox_itself_is_not_carried_out(kit: SendingKit, number: int) -> None:
    case, _ = filmed(kit)
    note = list(false_orders(kit, case.id))[number]
    save(kit.home.inbox / "order-000001", note)
    # Out of turn is for sync to find; the page is asked for what the service signed for this kit.
    assert heard(kit) == ([Carried(case.id, "")] if number == 4 else [])


def test_a_pipe_or_a_huge_file_in_the_inbox_holds_nobody_up(kit: SendingKit) -> None:
    case, _ = filmed(kit)
    os.mkfifo(kit.home.inbox / "a-pipe")
    with open(kit.home.inbox / "huge", "wb") as file:
        file.truncate(1 << 40)
    (kit.home.inbox / "loop").symlink_to("loop")
    (kit.home.inbox / "endless").symlink_to("/dev/zero")
    save(kit.home.inbox / "order-000001", signed(order_for(kit, case.id)))
    assert heard(kit) == [Carried(case.id, "")]


def test_an_order_that_is_replayed_under_the_next_number_is_refused(kit: SendingKit) -> None:
    case, _ = filmed(kit)
    other, _ = filmed(kit)
    place(kit, service_order_object(kit.id, 1), signed(order_for(kit, other.id)))
    kit.sync()
    assert heard(kit) == [Carried(other.id, "")]
    place(kit, service_order_object(kit.id, 2), signed(order_for(kit, other.id)))
    assert [problem.code for problem in kit.sync().problems] == ["false-order"]
    assert heard(kit) == [] and opened(kit, case.id)


# Copies of copies.


def test_films_restored_without_their_case_key_stay_closed_for_ever(kit: SendingKit) -> None:
    case, (film, _) = filmed(kit)
    (sealed,) = (case.directory / "documents").glob("details-*.age")
    saved_films = contents(kit.home.recordings)
    saved = sealed.read_bytes()
    withdraw(case.directory, practitioner(), kit.id, STARTED)
    sealed.parent.mkdir()
    sealed.write_bytes(saved)
    for name, data in saved_films.items():
        save_under(kit.home.recordings, name, data)
    with pytest.raises(CaseWithdrawn):
        opened(kit, case.id)
    for keys in (practitioner(), service()):
        with pytest.raises(NoMatch):
            unseal(saved, [keys.identity])
    assert finish_everything(kit.home) == [] and not sealed.exists()
    assert kit.home.recording(film).exists(), "what the recorder has is for the recorder to remove"


def save_under(place: Path, name: str, data: bytes) -> None:
    path = place / name
    path.parent.mkdir(parents=True, exist_ok=True)
    save(path, data)


def test_a_whole_home_restored_from_before_a_withdrawal_is_cleaned_at_the_next_contact(
    kit: SendingKit,
) -> None:
    case, _ = filmed(kit)
    kit.sync()
    backup = kit.root / "backup"
    shutil.copytree(kit.home.root, backup)
    withdraw(case.directory, practitioner(), kit.id, STARTED)
    kit.sync()
    served(FolderStore(kit.store))
    shutil.rmtree(kit.home.root)
    shutil.copytree(backup, kit.home.root)
    assert opened(kit, case.id), "until it hears of it, the old home opens what it opened"
    before = contents(kit.store)
    kit.sync()
    assert {n: d for n, d in contents(kit.store).items() if "identity" in n or "/clips/" in n} == {
        n: d for n, d in before.items() if "identity" in n or "/clips/" in n
    }
    assert heard(kit) == [Carried(case.id, "")]
    assert not list(case.directory.glob("identity-*"))
    with pytest.raises(CaseWithdrawn):
        opened(kit, case.id)
    assert kit.sync().state == "sent"


def test_a_kit_that_is_not_set_up_hears_nobody(tmp_path: Path) -> None:
    home = Home(tmp_path / "home", tmp_path / "run")
    assert hear_service(home).new == []


@pytest.mark.parametrize("missing", ["enrolled.json", "kit.json"])
def test_a_kit_that_is_half_set_up_hears_nobody(kit: SendingKit, missing: str) -> None:
    case, _ = filmed(kit)
    save(kit.home.inbox / "order-000001", signed(order_for(kit, case.id)))
    (kit.home.kit / missing).unlink()
    assert hear_service(kit.home).new == []
    assert not is_withdrawn(case.directory)


def test_the_orders_of_the_service_itself_are_kept_apart_by_their_name(kit: SendingKit) -> None:
    case, _ = filmed(kit)
    store = FolderStore(kit.store)
    name = withdraw_at_service(store, case.id)
    note = (kit.store / order_object(name)).read_text()
    text, _ = open_note(note, [service().signer.verifier])
    assert from_json(text, Withdrawal).case == case.id and withdrawal_note(case.directory) is None
