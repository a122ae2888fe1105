"""The service's side: a withdrawal is carried out to the end, once, and only if it is one."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO

import pytest

from appliance.age.identities import generate_identity
from appliance.base.desk import Outcome
from appliance.base.ledger import LEDGER
from appliance.base.orders import choose_keys, make_new
from appliance.casework.withdrawal import withdraw_film
from appliance.errors import CaseWithdrawn, NoMatch, SendRefused
from appliance.protocol.audits import StoreAudit, order_and_audit
from appliance.protocol.cards import Card, KitCard
from appliance.protocol.case_record import CaseRecord
from appliance.protocol.objects import SERVICE_CARD, order_object, tombstone_object
from appliance.protocol.orders import Reset, Tombstone, Withdrawal, signed_order
from appliance.protocol.permits import read_ceilings
from appliance.records.files import from_json, new_id, save, to_json
from appliance.records.signing import Signer, open_note
from appliance.stores.folder import FolderStore
from appliance.stores.store import Put
from appliance.sync.orders import is_answered
from appliance.vault.cases import Details, open_case_identities
from appliance.vault.keys import PrivateKeys, lock
from tests.support.homes import (
    STARTED,
    SendingKit,
    contents,
    new_store,
    practitioner,
    served,
    service,
    withdraw_at_service,
)

PASSPHRASE = "lantern orchard velvet thimble cascade juniper"


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return new_store(tmp_path / "service")


@pytest.fixture
def kit(tmp_path: Path, store: FolderStore) -> SendingKit:
    return SendingKit(tmp_path / "kit", tmp_path / "service")


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    """The service's folder of keys, as `attune keygen` leaves it."""
    folder = tmp_path / "keys"
    (folder / "practitioners").mkdir(parents=True)
    save(folder / "service.key", service().text().encode(), mode=0o600)
    save(folder / "practitioners" / "one.pub", to_json(practitioner().card()))
    return folder


def withdrawn(kit: SendingKit) -> tuple[str, str]:
    """A case that was sent and then withdrawn; its id and the order's."""
    case = kit.case().id
    kit.film(case)
    kit.sync()
    order = kit.withdraw(case)
    kit.sync()
    return case, order


def tombstone(kit: SendingKit, case: str) -> Tombstone:
    note = (kit.store / tombstone_object(case)).read_text()
    text, _ = open_note(note, [service().signer.verifier])
    return from_json(text, Tombstone)


def identities(kit: SendingKit) -> list[str]:
    return sorted(p.name for p in kit.store.rglob("*identity-*"))


def place(kit: SendingKit, name: str, data: bytes) -> None:
    (kit.store / "orders").mkdir(exist_ok=True)
    (kit.store / order_object(name)).write_bytes(data)


def run(kit: SendingKit, keys: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "appliance.base", kit.store.as_uri(), "-i", str(keys)]
    return subprocess.run(
        [*command, "--once", *options], capture_output=True, text=True, check=False
    )


def test_the_service_signs_what_its_kits_may_do_at_most(
    kit: SendingKit, keys: Path, store: FolderStore
) -> None:
    done = run(kit, keys, "--ceilings", "20", "2", "12")
    assert done.returncode == 0, done.stderr
    card, note = (keys / "service-setup.pub").read_text().split("\n", 1)
    assert from_json(card, Card) == service().card()
    signed = read_ceilings(note, service().chain)
    assert (signed.limit, signed.films, signed.life) == (1200, 2, 43200)


def test_more_than_any_kit_does_is_not_signed(
    kit: SendingKit, keys: Path, store: FolderStore
) -> None:
    assert run(kit, keys, "--ceilings", "61", "2", "12").returncode == 2
    assert not (keys / "service-setup.pub").exists()


# --- Orders -------------------------------------------------------------------------------------


def test_a_withdrawal_removes_the_keys_signs_for_it_and_leaves_the_sealed_films(
    kit: SendingKit, store: FolderStore
) -> None:
    case, order = withdrawn(kit)
    before = contents(kit.store)
    outcomes = served(store)
    key = f"cases/{case}/identity-0001.age"
    assert outcomes == [Outcome(order, "done", case, (key,))]
    answer = tombstone(kit, case)
    assert (answer.order, answer.case, answer.removed) == (order, case, (key,))
    after = contents(kit.store)
    assert set(before) - set(after) == {key}
    assert set(after) - set(before) == {tombstone_object(case), LEDGER}
    with pytest.raises(CaseWithdrawn):
        open_case_identities(kit.store / "cases" / case, [service().identity])


def test_an_order_is_carried_out_once(kit: SendingKit, store: FolderStore) -> None:
    case, order = withdrawn(kit)
    served(store)
    after = contents(kit.store)
    assert served(store) == [Outcome(order, "done-before", case)]
    assert contents(kit.store) == after


def test_other_cases_keep_their_keys(kit: SendingKit, store: FolderStore) -> None:
    other = kit.case().id
    withdrawn(kit)
    served(store)
    assert open_case_identities(kit.store / "cases" / other, [service().identity])


def test_a_key_that_a_restored_kit_brought_back_is_removed_again(
    kit: SendingKit, store: FolderStore
) -> None:
    case, order = withdrawn(kit)
    served(store)
    signed = contents(kit.store)[tombstone_object(case)]
    key = f"cases/{case}/identity-0001.age"
    (kit.store / key).write_bytes(b"from a copy")
    assert served(store) == [Outcome(order, "done", case, (key,))]
    assert identities(kit) == []
    assert contents(kit.store)[tombstone_object(case)] == signed


def test_an_order_for_a_case_that_never_came_waits_for_a_yes_that_claims_no_more(
    kit: SendingKit, store: FolderStore
) -> None:
    """Anybody of the service can sign one, and each kit that has the case would close it."""
    case = kit.case().id
    order = kit.withdraw(case)
    kit.sync()
    assert [(one.order, one.state) for one in served(store)] == [(order, "asks")]
    withdraw_at_service(store, case)
    served(store)
    assert tombstone(kit, case).removed == ()
    kit.sync()
    assert is_answered(kit.home, order, service().chain)


def forged(kit: SendingKit, case: str) -> Iterator[tuple[str, bytes]]:
    """Orders that are none, each with the name it is placed under."""
    name = new_id()
    order = Withdrawal(id=name, case=case, kit=kit.id, at=STARTED)
    line = to_json(order).decode() + "\n"
    true = practitioner().signer.sign(line)
    yield name, PrivateKeys.generate("practitioner").signer.sign(line).encode()
    yield name, PrivateKeys.generate("service").signer.sign(line).encode()
    yield name, kit.signer.sign(line).encode()
    yield name, true.replace(kit.id, new_id()).encode()
    yield new_id(), true.encode()
    yield name, line.encode()
    yield name, b"\xff\xfe\x00"
    yield name, b""
    yield name, b"x" * 100_000
    record = CaseRecord(id=name, recipient="age1", state="withdrawn")
    yield name, practitioner().signer.sign(to_json(record).decode() + "\n").encode()
    elsewhere = Withdrawal(id=name, case="../../kit", kit=kit.id, at=STARTED)
    yield name, practitioner().signer.sign(to_json(elsewhere).decode() + "\n").encode()


@pytest.mark.parametrize("number", range(11))
def test_what_is_no_order_of_a_practitioner_is_refused_listed_and_changes_nothing(
    kit: SendingKit, store: FolderStore, number: int
) -> None:
    case = kit.case().id
    kit.sync()
    name, data = list(forged(kit, case))[number]
    place(kit, name, data)
    before = contents(kit.store)
    (outcome,) = served(store)
    assert (outcome.order, outcome.state) == (name, "refused")
    assert outcome.why
    assert contents(kit.store) == before


def test_a_forged_order_does_not_hold_up_a_true_one(kit: SendingKit, store: FolderStore) -> None:
    case, order = withdrawn(kit)
    place(kit, "a" * 16, b"not an order")
    assert {o.order: o.state for o in served(store)} == {"a" * 16: "refused", order: "done"}
    assert tombstone(kit, case).order == order


def test_a_tombstone_that_somebody_else_put_there_is_replaced(
    kit: SendingKit, store: FolderStore
) -> None:
    case, order = withdrawn(kit)
    planted = Tombstone(order=order, case=case, at=STARTED, removed=())
    (kit.store / "tombstones").mkdir()
    note = practitioner().signer.sign(to_json(planted).decode() + "\n")
    (kit.store / tombstone_object(case)).write_text(note)
    served(store)
    assert tombstone(kit, case).removed == (f"cases/{case}/identity-0001.age",)


class Cut(Exception):
    """The plug of the service's machine."""


class CutStore(FolderStore):
    """A folder whose machine loses power just before, or just after, the step of this number."""

    def __init__(self, root: Path, step: int, after: bool) -> None:
        super().__init__(root)
        self.left = step
        self.after = after
        self.cut = False

    def create(self, name: str, source: IO[bytes]) -> Put:
        self._step(False)
        put = super().create(name, source)
        self._step(True)
        return put

    def purge(self, prefix: str) -> tuple[str, ...]:
        self._step(False)
        removed = super().purge(prefix)
        self._step(True)
        return removed

    def _step(self, after: bool) -> None:
        if after is self.after:
            self.left -= 1
            if self.left == 0:
                self.cut = True
                raise Cut


def test_cut_between_any_two_steps_the_next_run_finishes_and_the_answer_names_every_key(
    tmp_path: Path,
) -> None:
    steps = 0
    for after in (False, True):
        for step in range(1, 100):
            root = tmp_path / f"{after}-{step}"
            new_store(root / "service")
            kit = SendingKit(root / "kit", root / "service")
            case, order = withdrawn(kit)
            second = kit.store / "cases" / case / "identity-0002.age"
            second.write_bytes(b"a second key")
            store = CutStore(kit.store, step, after)
            try:
                served(store)
            except Cut:
                steps += 1
            names = tuple(f"cases/{case}/identity-000{n}.age" for n in (1, 2))
            if (kit.store / tombstone_object(case)).exists():
                # It is the last thing that is said.
                assert not any((kit.store / name).exists() for name in names)
            served(FolderStore(kit.store))
            assert not any((kit.store / name).exists() for name in names)
            assert tombstone(kit, case).removed == names
            assert tombstone(kit, case).order == order
            assert not any(name.startswith("begun/") for name in contents(kit.store))
            if not store.cut:
                break
    assert steps == 2 * 6


def test_the_answer_for_a_film_names_what_was_removed_in_every_run_also_in_those_that_were_cut(
    tmp_path: Path,
) -> None:
    told = set()
    for step in range(1, 100):
        root = tmp_path / str(step)
        new_store(root / "service")
        kit = SendingKit(root / "kit", root / "service")
        case = kit.case()
        film = kit.film(case.id)
        kit.sync()
        names = {name for name in contents(kit.store) if film in name}
        order = withdraw_film(case, film, kit.id, STARTED)
        kit.sync()
        store = CutStore(kit.store, step, after=True)
        with suppress(Cut):
            served(store)
        served(FolderStore(kit.store))
        note = (kit.store / tombstone_object(order.id)).read_text()
        answer = from_json(open_note(note, [service().signer.verifier])[0], Tombstone)
        told.add(set(answer.removed) == names and not answer.whole)
        assert not any(name.startswith("begun/") for name in contents(kit.store))
        if not store.cut:
            break
    assert told == {True} and step > 5


class Racing(FolderStore):
    """A store into which a kit puts the key again just after it was removed."""

    def purge(self, prefix: str) -> tuple[str, ...]:
        removed = super().purge(prefix)
        for name in removed:
            if "identity" in name and not name.startswith("begun/"):
                (Path(self.url.removeprefix("file://")) / name).write_bytes(b"again")
        return removed


def test_nothing_is_signed_while_a_key_is_still_there(kit: SendingKit, store: FolderStore) -> None:
    case, _ = withdrawn(kit)
    (outcome,) = served(Racing(kit.store))
    assert (outcome.state, "came back" in outcome.why) == ("failed", True)
    assert not (kit.store / tombstone_object(case)).exists()
    served(store)
    assert tombstone(kit, case).removed == (f"cases/{case}/identity-0001.age",)


def test_another_kit_that_has_the_same_case_learns_of_it_before_it_sends(
    kit: SendingKit, store: FolderStore, tmp_path: Path
) -> None:
    restored = SendingKit(tmp_path / "restored", kit.store)
    case = restored.case().id
    order = withdraw_at_service(store, case)
    served(store)
    status = restored.sync()
    assert status.withdrawn_elsewhere == (case,)
    assert (restored.home.inbox / order).exists()
    assert identities(kit) == []


# --- Whose store --------------------------------------------------------------------------------


def test_a_folder_that_is_no_store_yet_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "mnt").mkdir()
    with pytest.raises(SendRefused, match="not the store of a service yet"):
        choose_keys(FolderStore(tmp_path / "mnt"), [service()])
    assert contents(tmp_path / "mnt") == {}


def test_a_new_store_is_made_once_and_never_taken_from_another_service(tmp_path: Path) -> None:
    store = new_store(tmp_path / "service")
    other = PrivateKeys.generate("service")
    make_new(store, other)
    assert choose_keys(store, [other, service()]) is service()
    with pytest.raises(SendRefused, match="other keys"):
        choose_keys(store, [other])


# --- The program --------------------------------------------------------------------------------


def test_the_program_carries_out_a_withdrawal_and_says_what_it_does_not_reach(
    kit: SendingKit, keys: Path
) -> None:
    case, _ = withdrawn(kit)
    done = run(kit, keys)
    assert done.returncode == 0, done.stderr
    assert f"Case {case} is withdrawn. Keys removed just now: identity-0001.age." in done.stdout
    assert "sealed films stay" in done.stdout
    assert "backup" in done.stdout
    assert "1 now, 0 before, 0 refused" in done.stdout
    assert identities(kit) == []
    assert "0 now, 1 before, 0 refused" in run(kit, keys).stdout


def test_the_program_lists_what_it_refuses_and_ends_with_1(kit: SendingKit, keys: Path) -> None:
    _, order = withdrawn(kit)
    (keys / "practitioners" / "one.pub").unlink()
    done = run(kit, keys)
    assert done.returncode == 1
    assert f"Order {order} was refused: This note is not signed by" in done.stderr
    told = json.loads(run(kit, keys, "--json").stdout)
    assert told["ok"] is False
    assert [(o["order"], o["state"]) for o in told["orders"]] == [(order, "refused")]
    assert identities(kit) == ["identity-0001.age"]


def test_a_key_under_a_passphrase_opens_with_its_file(
    kit: SendingKit, keys: Path, tmp_path: Path
) -> None:
    case, _ = withdrawn(kit)
    (keys / "service.key").write_bytes(lock(service(), PASSPHRASE, work=1))
    (tmp_path / "phrase").write_text("not this one at all\n")
    done = run(kit, keys, "--passphrase-file", str(tmp_path / "phrase"))
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert identities(kit) == ["identity-0001.age"]
    (tmp_path / "phrase").write_text(f"{PASSPHRASE}\n")
    # The key file itself may be named, too.
    done = run(kit, keys / "service.key", "--passphrase-file", str(tmp_path / "phrase"))
    assert done.returncode == 0, done.stderr
    assert tombstone(kit, case).removed


def test_the_program_makes_a_new_store_only_when_told_to(keys: Path, tmp_path: Path) -> None:
    new = SendingKit(tmp_path / "new kit", tmp_path / "new")
    done = run(new, keys, "--new")
    assert done.returncode == 1
    assert "is not there" in done.stderr
    new.store.mkdir()
    assert "the verb init" in run(new, keys).stderr
    assert contents(new.store) == {}
    for _ in range(2):
        done = run(new, keys, "--new")
        assert done.returncode == 0, done.stderr
    assert list(contents(new.store)) == [SERVICE_CARD]
    new.case()
    assert new.sync().state == "sent"


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("no folder", "could not be read"),
        ("empty", "There is no key file"),
        ("practitioner", "holds a practitioner's keys"),
        ("garbage", "is not a key file"),
        ("bad card", "two.pub is not the card of a practitioner"),
        ("two", "Name the one"),
    ],
)
def test_keys_that_are_not_the_services_are_told_in_words(
    kit: SendingKit, keys: Path, fault: str, said: str
) -> None:
    if fault == "no folder":
        keys = keys / "nowhere"
    elif fault == "empty":
        (keys / "service.key").unlink()
    elif fault == "practitioner":
        (keys / "service.key").write_text(practitioner().text())
    elif fault == "garbage":
        (keys / "service.key").write_bytes(b"\xff\x00")
    elif fault == "bad card":
        (keys / "practitioners" / "two.pub").write_bytes(b"{}")
    else:
        (keys / "two.key").write_text(PrivateKeys.generate("service").text())
    done = run(kit, keys, "--new")
    assert done.returncode == 1
    assert said in done.stderr
    assert "Traceback" not in done.stderr


# --- People -------------------------------------------------------------------------------------


def new_card(folder: Path, x25519: bool = False) -> tuple[PrivateKeys, str]:
    """Keys of somebody who forgot theirs, and where the service has got their card."""
    new = PrivateKeys.generate("practitioner", x25519)
    save(folder / "new.pub", to_json(new.card()))
    return new, str(folder / "new.pub")


def test_a_practitioner_who_forgot_the_passphrase_opens_their_cases_again(
    kit: SendingKit, keys: Path, tmp_path: Path
) -> None:
    case, closed = kit.case().id, kit.case().id
    kit.sync()
    kit.withdraw(closed)
    kit.sync()
    served(FolderStore(kit.store))
    new, card = new_card(tmp_path)
    with pytest.raises(NoMatch):
        open_case_identities(kit.store / "cases" / case, [new.identity])
    forgot = practitioner().card().name
    done = run(kit, keys, "--recover", card, "--instead-of", forgot)
    assert done.returncode == 0, done.stderr
    file = f"identity-0001-{new.card().name.rpartition('-')[2]}.age"
    assert f"Sealed anew: cases/{case}/{file}" in done.stderr
    assert "give theirs with --kit" in done.stderr
    mine = open_case_identities(kit.store / "cases" / case, [new.identity])
    services = open_case_identities(kit.store / "cases" / case, [service().identity])
    assert [str(i.recipient) for i in mine] == [str(i.recipient) for i in services]
    assert identities(kit) == [file, "identity-0001.age"]
    with pytest.raises(CaseWithdrawn):
        open_case_identities(kit.store / "cases" / closed, [new.identity])


def test_a_new_card_counts_at_the_service_from_then_on(
    kit: SendingKit, keys: Path, tmp_path: Path
) -> None:
    case = kit.case().id
    kit.sync()
    new, card = new_card(tmp_path)
    assert run(kit, keys, "--recover", card, "--case", case).returncode == 0
    assert (keys / "practitioners" / f"{new.card().name}.pub").exists()
    assert run(kit, keys, "--revoke", new.card().name).returncode == 0
    again = run(kit, keys, "--recover", card, "--case", case)
    assert (again.returncode, "was revoked" in again.stderr) == (1, True)


def test_only_the_cases_that_are_named_are_recovered(
    kit: SendingKit, keys: Path, tmp_path: Path
) -> None:
    one, other = kit.case().id, kit.case().id
    kit.sync()
    new, card = new_card(tmp_path)
    assert run(kit, keys, "--recover", card, "--case", one).returncode == 0
    assert open_case_identities(kit.store / "cases" / one, [new.identity])
    with pytest.raises(NoMatch):
        open_case_identities(kit.store / "cases" / other, [new.identity])


def test_nobody_is_let_into_every_case_of_a_service_because_none_was_named(
    kit: SendingKit, keys: Path, tmp_path: Path
) -> None:
    kit.case()
    kit.sync()
    _, card = new_card(tmp_path)
    done = run(kit, keys, "--recover", card)
    assert (done.returncode, "Say for which cases" in done.stderr) == (2, True)
    assert identities(kit) == ["identity-0001.age"]


def test_only_the_cases_of_who_forgot_are_recovered_and_one_that_says_nobody_is_told(
    kit: SendingKit, keys: Path, tmp_path: Path
) -> None:
    mine, unsaid = kit.case().id, kit.case().id
    colleague = PrivateKeys.generate("practitioner")
    details = Details(label="another family", check_word="harbour")
    theirs = kit.cases.create(details, colleague, service().chain, [colleague.signer.verifier])
    kit.sync()
    save(keys / "practitioners" / "two.pub", to_json(colleague.card()))
    (team,) = (kit.store / "cases" / unsaid / "documents").glob("team-*.age")
    team.write_bytes(b"garbage")
    new, card = new_card(tmp_path)
    done = run(kit, keys, "--recover", card, "--instead-of", practitioner().card().name)
    assert done.returncode == 0, done.stderr
    assert f"Case {unsaid} was left alone: Who works in it cannot be known" in done.stderr
    assert open_case_identities(kit.store / "cases" / mine, [new.identity])
    for case in (unsaid, theirs.id):
        with pytest.raises(NoMatch):
            open_case_identities(kit.store / "cases" / case, [new.identity])


def test_a_kit_that_never_sent_here_is_ordered_nothing(
    kit: SendingKit, keys: Path, tmp_path: Path
) -> None:
    case = kit.case().id
    kit.sync()
    _, card = new_card(tmp_path)
    done = run(kit, keys, "--recover", card, "--case", case, "--kit", new_id())
    assert (done.returncode, "has ever sent to this store" in done.stderr) == (1, True)
    assert identities(kit) == ["identity-0001.age"]


def test_a_clerk_who_mistypes_the_number_of_a_kit_that_is_to_be_set_back_is_told(
    kit: SendingKit, keys: Path
) -> None:
    kit.case()
    kit.sync()
    for number, known in ((kit.id, True), (new_id(), False)):
        done = run(kit, keys, "--reset", number)
        assert done.returncode == 0, done.stderr
        assert f"Order 1 for kit {number}" in done.stderr
        assert ("has ever sent here" in done.stderr) is not known
        order, audit = order_and_audit((keys / f"reset-{number}.order").read_text())
        signed = signed_order(order.encode(), service().chain)
        assert service().chain.word(audit, StoreAudit).at > signed.at
        assert isinstance(signed, Reset) and (signed.kit, signed.unsent) == (number, False)


def test_what_somebody_put_where_the_next_order_goes_makes_way_for_it(
    kit: SendingKit, keys: Path, tmp_path: Path
) -> None:
    """Whoever has a kit's way into the store can make new files there, and no kit goes past one
    that is false."""
    case = kit.case().id
    kit.sync()
    orders = kit.store / "kits" / kit.id / "orders"
    orders.mkdir()
    (orders / "000001").write_bytes(b"nonsense")
    (orders / "zzz").write_bytes(b"nonsense")
    assert [p.code for p in kit.sync().problems] == ["false-order"]
    _, card = new_card(tmp_path)
    recover = ("--recover", card, "--case", case, "--kit", kit.id)
    assert "; order 1 for kit" in run(kit, keys, *recover).stderr
    assert "; order 2 for kit" in run(kit, keys, *recover).stderr
    kit.sync()
    assert sorted(p.name for p in kit.home.inbox.glob("order-*")) == [
        "order-000001",
        "order-000002",
    ]


def test_a_withdrawal_at_the_service_removes_what_was_sealed_to_a_new_card_as_well(
    kit: SendingKit, keys: Path, tmp_path: Path
) -> None:
    case = kit.case().id
    kit.sync()
    _, card = new_card(tmp_path)
    assert run(kit, keys, "--recover", card, "--case", case, "--kit", kit.id).returncode == 0
    assert len(identities(kit)) == 2
    assert run(kit, keys, "--withdraw", case).returncode == 0
    assert identities(kit) == []
    again = run(kit, keys, "--recover", card, "--case", case, "--kit", kit.id)
    assert f"Case {case} was left alone" in again.stderr
    assert identities(kit) == []


def test_rubbish_on_top_of_a_cases_key_keeps_nobody_out(
    kit: SendingKit, keys: Path, tmp_path: Path
) -> None:
    case, closed = kit.case().id, kit.case().id
    kit.sync()
    save(kit.store / "cases" / case / "identity-0099.age", b"rubbish")
    for path in (kit.store / "cases" / closed).glob("identity-*"):
        path.write_bytes(b"rubbish")
    new, card = new_card(tmp_path)
    done = run(kit, keys, "--recover", card, "--case", closed, "--case", case)
    assert done.returncode == 0, done.stderr
    assert f"Case {closed} was left alone: The service's keys do not open it." in done.stderr
    for path in (kit.store / "cases" / case).glob("identity-0099*"):
        path.unlink()
    assert open_case_identities(kit.store / "cases" / case, [new.identity])


def test_a_card_of_the_other_type_is_refused(kit: SendingKit, keys: Path, tmp_path: Path) -> None:
    case = kit.case().id
    kit.sync()
    _, card = new_card(tmp_path, x25519=True)
    done = run(kit, keys, "--recover", card, "--case", case)
    assert (done.returncode, "not of the type" in done.stderr) == (1, True)
    assert identities(kit) == ["identity-0001.age"]


def test_a_practitioner_is_enrolled_with_a_card_and_revoked_by_name(
    kit: SendingKit, keys: Path
) -> None:
    card = keys / "practitioners" / "one.pub"
    elsewhere = keys.parent / "one.pub"
    card.rename(elsewhere)
    withdrawn(kit)
    assert run(kit, keys).returncode == 1
    done = run(kit, keys, "--enrol", str(elsewhere))
    assert done.returncode == 0, done.stderr
    assert "1 now" in done.stdout
    name = practitioner().card().name
    done = run(kit, keys, "--revoke", name)
    assert done.returncode == 0, done.stderr
    assert "1 before" in done.stdout
    assert (keys / "revoked" / f"{name}.pub").exists()
    assert run(kit, keys, "--revoke", name).returncode == 1


def test_a_kit_that_nobody_enrolled_is_named_until_it_is(kit: SendingKit, keys: Path) -> None:
    kit.sync()
    assert f"Kit {kit.id} sends here and is not enrolled" in run(kit, keys).stderr
    done = run(kit, keys, "--enrol", str(kit.home.kit / "kit.json"))
    assert done.returncode == 0
    assert "not enrolled" not in done.stderr
    (kit.store / "kits" / kit.id / "card.json").write_text("another")
    assert "not enrolled" in run(kit, keys).stderr


def test_a_kit_is_not_enrolled_over_another_of_its_name(kit: SendingKit, keys: Path) -> None:
    assert run(kit, keys, "--enrol", str(kit.home.kit / "kit.json")).returncode == 0
    other = KitCard(id=kit.id, verifier=str(Signer.generate(f"kit-{kit.id}").verifier))
    save(keys.parent / "other.json", to_json(other))
    done = run(kit, keys, "--enrol", str(keys.parent / "other.json"))
    assert (done.returncode, "another key" in done.stderr) == (1, True)


def test_nobody_is_enrolled_under_the_name_of_somebody_else(kit: SendingKit, keys: Path) -> None:
    """Families are known by the names of those who work with them."""
    name = practitioner().card().name
    other = PrivateKeys(generate_identity(), Signer.generate(name))
    save(keys.parent / "other.pub", to_json(other.card()))
    case = kit.case().id
    kit.sync()
    for words in (["--enrol"], ["--case", case, "--recover"]):
        done = run(kit, keys, *words, str(keys.parent / "other.pub"))
        assert (done.returncode, "another key" in done.stderr) == (1, True)
    assert [path.name for path in (keys / "practitioners").iterdir()] == ["one.pub"]
    # Their own card again changes nothing.
    assert run(kit, keys, "--enrol", str(keys / "practitioners" / "one.pub")).returncode == 0


def test_what_is_no_card_is_not_enrolled(kit: SendingKit, keys: Path) -> None:
    for data in (b"", b"{}", b"\xff", to_json(service().card())):
        save(keys.parent / "x", data)
        assert run(kit, keys, "--enrol", str(keys.parent / "x")).returncode == 1
