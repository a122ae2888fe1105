"""What base remembers: a store that is a copy of yesterday's is mended, and not believed."""

import io
import shutil
from contextlib import suppress
from pathlib import Path

import pytest

from appliance.base.ledger import LEDGER, Ledger, Standing
from appliance.base.orders import put
from appliance.casework.consent import Hold
from appliance.casework.withdrawal import hear_service, lift_hold, place_hold, withdraw_film
from appliance.errors import NotPossible
from appliance.protocol.case_record import films_withdrawn
from appliance.protocol.objects import (
    film_object,
    order_object,
    revocation_object,
    service_order_object,
    tombstone_object,
)
from appliance.protocol.orders import ShareEnd, Withdrawal
from appliance.records.files import Fact, new_id
from appliance.records.signing import Signer, sign_fact
from appliance.stores.folder import FolderStore
from appliance.vault.keys import PrivateKeys
from tests.support.bases import Base
from tests.support.homes import (
    CLOCK,
    STARTED,
    contents,
    desk,
    ledger_of,
    practitioner,
    served,
    service,
)


@pytest.fixture
def at_base(tmp_path: Path) -> Base:
    return Base(tmp_path)


def restore(folder: Path, copy: Path) -> None:
    """A disk died, and what is left is a copy of it."""
    shutil.rmtree(folder)
    shutil.copytree(copy, folder)


# --- A store that is restored -----------------------------------------------------------------


def test_a_store_restored_from_yesterday_is_mended_although_no_kit_says_anything(
    at_base: Base,
) -> None:
    case, other = at_base.sent(), at_base.sent()
    film = at_base.kit.film(other)
    at_base.kit.sync()
    copy = Path(shutil.copytree(at_base.store, at_base.root / "yesterday"))
    at_base.kit.withdraw(case)
    withdraw_film(at_base.opened(other), film, at_base.kit.id, STARTED)
    at_base.kit.sync()
    assert at_base.run("serve", "--once").returncode == 0
    away = practitioner().card().name
    assert at_base.run("revoke", away).returncode == 0
    told = contents(at_base.store)
    restore(at_base.store, copy)
    assert at_base.identities(case)
    done = at_base.run("serve", "--once")
    assert done.returncode == 0, done.stderr
    assert f"Case {case} is withdrawn. Keys removed just now: identity-0001.age." in done.stdout
    assert f"Film {film} is withdrawn." in done.stdout
    assert at_base.identities(case) == []
    mended = contents(at_base.store)
    assert not [name for name in mended if f"/{film}/" in name]
    said = [name for name in told if name.startswith(("tombstones/", "revoked/"))]
    assert {name: mended[name] for name in said} == {name: told[name] for name in said}
    assert mended[revocation_object(away)] == told[revocation_object(away)]


def test_what_was_lost_before_base_saw_it_is_sent_again(at_base: Base) -> None:
    """Orders, holds and their ends: the store came back from before they arrived, or somebody took
    them away."""
    kit = at_base.kit
    case, other, kept = at_base.sent(), at_base.sent(), at_base.sent()
    film = kit.film(other)
    kit.sync()
    shared = at_base.opened(other)
    kit.withdraw(case)
    withdraw_film(shared, film, kit.id, STARTED)
    end = ShareEnd(id=new_id(), case=other, share=new_id(), films=(), at=STARTED)
    shared.directory.share_ends.mkdir()
    note = sign_fact(practitioner().signer, end).encode()
    (shared.directory.share_ends / end.share).write_bytes(note)
    hold = Hold(role="lead", reason="enquiry", at=STARTED, review=STARTED)
    place_hold(at_base.opened(kept), hold, service().chain)
    kit.sync()
    told = {"orders/": 3, "holds/": 2}
    for more in (False, True):
        if more:
            lift_hold(at_base.opened(kept).directory, practitioner().signer, STARTED)
            kit.sync()
            told["holds/"] = 3
        for name, many in told.items():
            assert (
                len([there for there in contents(at_base.store) if there.startswith(name)]) == many
            )
            shutil.rmtree(at_base.store / name)
        assert kit.sync().state == "sent"
        for name, many in told.items():
            assert (
                len([there for there in contents(at_base.store) if there.startswith(name)]) == many
            )
    assert {outcome.state for outcome in served(at_base.folder)} == {"done"}
    assert at_base.identities(case) == []
    # What is answered is asked of the store no more, and nothing goes twice.
    assert kit.sync().sent == kit.sync().sent == 0


def test_nothing_of_a_restored_store_is_read_before_it_is_mended(at_base: Base) -> None:
    case, _ = at_base.withdrawn()
    copy = Path(shutil.copytree(at_base.store, at_base.root / "yesterday"))
    served(at_base.folder)
    restore(at_base.store, copy)

    class Told(FolderStore):
        said: list[str] = []  # noqa: RUF012

        def list(self, prefix: str):  # type: ignore[no-untyped-def]
            self.said.append(prefix)
            return super().list(prefix)

        def purge(self, prefix: str) -> tuple[str, ...]:
            self.said.append(prefix)
            return super().purge(prefix)

    store = Told(at_base.store)
    served(store)
    assert store.said[0] == f"cases/{case}/identity-"
    assert store.said.index("orders/") > 0


def test_an_order_that_was_removed_with_its_answer_stays_carried_out(at_base: Base) -> None:
    case, order = at_base.withdrawn()
    served(at_base.folder)
    for name in (order_object(order), tombstone_object(case)):
        (at_base.store / name).unlink()
    key = at_base.store / "cases" / case / "identity-0001.age"
    key.write_bytes(b"from a copy")
    served(at_base.folder)
    assert not key.exists()
    assert (at_base.store / tombstone_object(case)).exists()


def test_a_round_with_many_finished_orders_asks_the_store_for_none_of_them(at_base: Base) -> None:
    class Counting(FolderStore):
        asked: list[str] = []  # noqa: RUF012

        def open(self, name: str):  # type: ignore[no-untyped-def]
            self.asked.append(name)
            return super().open(name)

    for _ in range(3):
        at_base.withdrawn()
    served(at_base.folder)
    store = Counting(at_base.store)
    assert {outcome.state for outcome in served(store)} == {"done-before"}
    assert not [name for name in store.asked if name.startswith("orders/")]


# --- A ledger that cannot be believed -----------------------------------------------------------


def cut_short(at_base: Base) -> str:
    (at_base.keys / "ledger" / "log").write_bytes(b"")
    return "was cut short or altered"


def altered(at_base: Base) -> str:
    path = at_base.keys / "ledger" / "log"
    path.write_bytes(path.read_bytes().replace(b'"accepted"', b'"acceptes"'))
    return "was cut short or altered"


def forged(at_base: Base) -> str:
    """A whole ledger, but not one that this service has signed."""
    folder = at_base.root / "forged"
    folder.mkdir()
    signer = Signer.generate("service-" + new_id())
    theirs = Ledger(folder, signer, CLOCK)
    with theirs.at_work():
        theirs.write("accepted", new_id(), case=new_id(), film="", by="somebody")
    shutil.rmtree(at_base.keys / "ledger")
    shutil.copytree(folder / "ledger", at_base.keys / "ledger")
    return "belongs to another service"


def older(at_base: Base) -> str:
    """A copy of it from before, signed and whole."""
    shutil.rmtree(at_base.keys / "ledger")
    return "was cut short: it ends at line 0"


def another(at_base: Base) -> str:
    """One of this service's that grew up elsewhere: two machines, or a copy that went on."""
    shutil.rmtree(at_base.keys / "ledger")
    ledger = Ledger(at_base.keys, service().signer, CLOCK)
    with ledger.at_work():
        for _ in range(9):
            ledger.write("accepted", new_id(), case=new_id(), film="", by="somebody")
    return "is not the one that the store was told of"


@pytest.mark.parametrize("fault", [cut_short, altered, forged, older, another])
def test_a_ledger_that_cannot_be_believed_is_told_of_and_nothing_is_done(
    at_base: Base, fault: "type[object]"
) -> None:
    at_base.withdrawn()
    assert at_base.run("serve", "--once").returncode == 0
    case, _ = at_base.withdrawn()
    words = fault(at_base)  # type: ignore[call-arg]
    before = contents(at_base.store)
    done = at_base.run("serve", "--once")
    assert (done.returncode, str(words) in done.stderr) == (1, True), done.stderr
    assert "Traceback" not in done.stderr
    assert contents(at_base.store) == before and at_base.identities(case)
    assert at_base.told("serve", "--once", status=1)["error"]["code"]


@pytest.mark.parametrize("fault", [cut_short, altered, forged, older, another])
def test_a_ledger_of_which_no_copy_is_left_is_taken_up_from_what_the_store_shows(
    at_base: Base, fault: "type[object]"
) -> None:
    case, _ = at_base.withdrawn()
    assert at_base.run("serve", "--once").returncode == 0
    copy = Path(shutil.copytree(at_base.store, at_base.root / "copy"))
    fault(at_base)  # type: ignore[call-arg]
    answer = at_base.told("ledger", "--from-store")
    assert answer["store"] == "up to date" and answer["lines"] >= 1
    key = at_base.store / "cases" / case / "identity-0001.age"
    assert not (copy / key.relative_to(at_base.store)).exists()
    key.write_bytes(b"from a copy")
    assert at_base.run("serve", "--once").returncode == 0
    assert not key.exists()


def test_a_store_of_before_there_was_a_ledger_is_taken_up(at_base: Base) -> None:
    case, _ = at_base.withdrawn()
    served(at_base.folder)
    shutil.rmtree(at_base.keys / "ledger")
    (at_base.store / LEDGER).unlink()
    (at_base.store / "cases" / case / "identity-0001.age").write_bytes(b"from a copy")
    served(at_base.folder)
    assert at_base.identities(case) == []
    assert at_base.told("ledger")["store"] == "up to date"


@pytest.mark.parametrize("there", [True, False])
def test_what_an_early_version_had_begun_is_taken_up_and_stops_no_order_that_comes(
    at_base: Base, there: bool
) -> None:
    """It wrote at the store what it was about to remove, and was cut; here also lost the order."""

    class Begun(Fact, frozen=True, kw_only=True, tag="begun/v1"):
        order: str
        names: tuple[str, ...]

    stranger, other = at_base.enrolled(), at_base.sent()
    case, order = at_base.withdrawn()
    key = f"cases/{case}/identity-0001.age"
    put(at_base.folder, service().signer, f"begun/{order}", Begun(order=order, names=(key,)))
    note = at_base.store / order_object(order)
    away = at_base.root / "away"
    if not there:
        note.rename(away)
    served(at_base.folder)
    assert bool(at_base.identities(case)) is not there
    # A stranger's orders for this case and for others wait as ever.
    for one in (case, other):
        new = Withdrawal(id=new_id(), case=one, kit="", at=CLOCK.read().wall)
        at_base.place(new, stranger)
    at_base.told("serve", "--once", status=1)
    assert at_base.identities(other) and bool(at_base.identities(case)) is not there
    if not there:
        away.rename(note)
    at_base.told("serve", "--once", status=1)
    assert at_base.identities(case) == [] and at_base.identities(other)


@pytest.mark.parametrize("words", ["ended 3 cases", "ended 4 cases"])
def test_what_waits_since_an_early_version_wrote_why_in_words_alone_goes_on_waiting(
    at_base: Base, words: str
) -> None:
    case, order = at_base.withdrawn()
    by = practitioner().card().name
    with ledger_of(at_base.folder) as ledger:
        why = f"{by} has {words} within a day already."
        ledger.write("waits", order, case=case, film="", by=by, why=why)
    assert [one.state for one in served(at_base.folder)] == ["asks"]
    assert at_base.identities(case)


@pytest.mark.parametrize("film", [True, False])
def test_an_order_of_the_service_that_counted_is_carried_out_although_the_store_loses_it(
    at_base: Base, film: bool
) -> None:
    case = at_base.sent()
    name = next((at_base.store / "cases" / case / "recordings").iterdir()).name

    class Cut(Exception):
        pass

    class Cutting(FolderStore):
        def purge(self, prefix: str) -> tuple[str, ...]:
            if prefix.startswith("cases/"):
                raise Cut
            return super().purge(prefix)

    store = Cutting(at_base.store)
    with desk(store) as work:
        kit = at_base.kit.id
        order = work.withdraw_film(kit, case, name) if film else work.withdraw_case(case)
        with suppress(Cut):
            work.work()
    (at_base.store / order_object(order)).unlink()
    found = {one.order: one.state for one in served(at_base.folder)}
    assert found == {order: "done"}
    assert (at_base.store / order_object(order)).exists()
    assert bool(at_base.identities(case)) is film
    assert film is not (at_base.store / "cases" / case / "recordings" / name).exists()


def test_what_a_power_cut_left_of_a_line_was_not_done_and_is_dropped(tmp_path: Path) -> None:
    def ledger() -> Ledger:
        return Ledger(tmp_path, service().signer, CLOCK)

    one = ledger()
    with one.at_work():
        one.write("accepted", "first", case="", film="", by="")
    whole = (tmp_path / "ledger" / "log").read_bytes()
    head = (tmp_path / "ledger" / "head").read_bytes()
    with one.at_work():
        one.write("accepted", "second", case="", film="", by="")
    long = (tmp_path / "ledger" / "log").read_bytes()
    for size in range(len(whole), len(long) + 1):
        (tmp_path / "ledger" / "log").write_bytes(long[:size])
        (tmp_path / "ledger" / "head").write_bytes(head)
        again = ledger()
        with again.at_work():
            assert list(again.of("accepted")) == ["first"]
        assert (tmp_path / "ledger" / "log").read_bytes() == whole


def test_two_programs_of_one_service_write_in_turn_and_see_what_the_other_wrote(
    tmp_path: Path,
) -> None:
    one, other = (Ledger(tmp_path, service().signer, CLOCK) for _ in range(2))
    for number in range(4):
        for ledger in (one, other):
            with ledger.at_work():
                assert ledger.length == 2 * number + (ledger is other)
                ledger.write("accepted", f"{number}-{id(ledger)}", case="", film="", by="")


def test_who_only_looks_does_not_wait_for_one_that_comes_to_no_end(tmp_path: Path) -> None:
    working = Ledger(tmp_path, service().signer, CLOCK)
    looking = Ledger(tmp_path, service().signer, CLOCK, keep=False, patience=0.0)
    with working.at_work():
        working.write("accepted", "first", case="", film="", by="")
        with pytest.raises(NotPossible, match="no end"), looking.at_work():
            raise AssertionError("two had it")
    with looking.at_work():
        assert list(looking.of("accepted")) == ["first"]


def test_a_program_that_was_killed_between_line_and_signature_breaks_no_ledger_of_another(
    tmp_path: Path,
) -> None:
    one, other, third = (Ledger(tmp_path, service().signer, CLOCK) for _ in range(3))
    with one.at_work():
        one.write("accepted", "first", case="", film="", by="")
    head = (tmp_path / "ledger" / "head").read_bytes()
    with other.at_work():
        other.write("accepted", "never signed for", case="", film="", by="")
    (tmp_path / "ledger" / "head").write_bytes(head)
    with one.at_work():
        one.write("accepted", "second", case="", film="", by="")
    for ledger in (one, third):
        with ledger.at_work():
            assert list(ledger.of("accepted")) == ["first", "second"]


def test_a_head_at_the_store_that_somebody_else_put_there_counts_for_nothing(
    at_base: Base,
) -> None:
    at_base.withdrawn()
    served(at_base.folder)
    path = at_base.store / LEDGER
    stranger = PrivateKeys.generate("service").signer
    for planted in (
        b"",
        b"\xff",
        stranger.sign(path.read_text().partition("\n")[0] + "\n").encode(),
    ):
        path.write_bytes(planted)
        served(at_base.folder)
        assert at_base.told("ledger")["store"] == "up to date"
    path.unlink()
    path.mkdir()
    served(at_base.folder)
    assert at_base.told("ledger")["store"] == "up to date"


def test_an_answer_names_what_was_removed_although_the_power_failed_before_it_was_put(
    at_base: Base,
) -> None:
    case, _ = at_base.withdrawn()
    served(at_base.folder)
    note = (at_base.store / tombstone_object(case)).read_bytes()
    (at_base.store / tombstone_object(case)).unlink()
    served(at_base.folder)
    assert (at_base.store / tombstone_object(case)).read_bytes() == note


def test_the_standing_of_a_store_is_asked_for_by_what_it_was_told(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    store = FolderStore(tmp_path / "store")
    ledger = Ledger(tmp_path, service().signer, CLOCK)
    with ledger.at_work():
        assert ledger.standing(store) is Standing.BEHIND
        ledger.write("accepted", "one", case="", film="", by="")
        store.create(LEDGER, io.BytesIO((tmp_path / "ledger" / "head").read_bytes()))
        assert ledger.standing(store) is Standing.SAME
        ledger.write("accepted", "two", case="", film="", by="")
        assert ledger.standing(store) is Standing.BEHIND


# --- Kits ---------------------------------------------------------------------------------------


def test_what_the_service_ordered_of_a_kit_outlives_the_store_and_its_number_is_not_given_again(
    at_base: Base,
) -> None:
    """A kit carries an order out once, and hears none with a number that it has had."""
    kit = at_base.kit
    case = at_base.sent()
    films = [kit.film(case), kit.film(case)]
    kit.sync()
    copy = Path(shutil.copytree(at_base.store, at_base.root / "yesterday"))
    order = at_base.store / service_order_object(kit.id, 1)

    def taken_back() -> list[str]:
        kit.sync()
        hear_service(kit.home)
        return films_withdrawn(kit.home.case(case))

    at_base.told("withdraw", case, "--film", films[0], "--kit", kit.id)
    note = order.read_bytes()
    # The kit has not been at base since.
    restore(at_base.store, copy)
    assert at_base.run("serve", "--once").returncode == 0
    assert order.read_bytes() == note
    assert taken_back() == films[:1]
    # Now it has, and the store comes back from before once more.
    restore(at_base.store, copy)
    at_base.told("withdraw", case, "--film", films[1], "--kit", kit.id)
    assert (at_base.store / service_order_object(kit.id, 2)).exists()
    assert sorted(taken_back()) == sorted(films)
    assert at_base.told("reset", kit.id)["order"] == 3


def test_what_the_store_has_lost_of_the_services_word_to_kits_is_put_back_round_by_round(
    at_base: Base,
) -> None:
    kit = at_base.kit
    case = at_base.sent()
    at_base.told("withdraw", case, "--film", kit.film(case), "--kit", kit.id)
    at_base.run("revoke", practitioner().card().name)
    told = (service_order_object(kit.id, 1), revocation_object(practitioner().card().name))
    notes = [(at_base.store / name).read_bytes() for name in told]
    for name in told:
        (at_base.store / name).unlink()
    served(at_base.folder)
    assert [(at_base.store / name).read_bytes() for name in told] == notes


def test_a_film_that_the_service_asks_back_is_not_sent_in_the_same_contact(at_base: Base) -> None:
    kit = at_base.kit
    case = at_base.sent()
    film = kit.film(case)
    at_base.told("withdraw", case, "--film", film, "--kit", kit.id)
    kit.sync()
    assert not (at_base.store / film_object(case, film, "manifest")).exists()
    hear_service(kit.home)
    assert kit.sync().waiting == 0


def test_a_kit_offers_its_order_again_when_the_answer_is_gone(at_base: Base) -> None:
    """Store and ledger are lost, and what comes back is from before the withdrawal."""
    case = at_base.sent()
    other = at_base.sent()
    film = at_base.kit.film(other)
    at_base.kit.sync()
    copy = Path(shutil.copytree(at_base.store, at_base.root / "yesterday"))
    order = at_base.kit.withdraw(case)
    film_order = withdraw_film(at_base.opened(other), film, at_base.kit.id, STARTED).id
    at_base.kit.sync()
    served(at_base.folder)
    at_base.kit.sync()
    restore(at_base.store, copy)
    shutil.rmtree(at_base.keys / "ledger")
    assert at_base.kit.sync().state == "sent"
    for name in (order, film_order):
        assert (at_base.store / order_object(name)).exists()
    served(FolderStore(at_base.store))
    assert at_base.identities(case) == []
    assert not [name for name in contents(at_base.store) if f"/{film}/" in name]
