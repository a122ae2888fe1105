"""A forgotten passphrase, all the way home: what lets a practitioner in again, and what does not.

The service seals a case's key to the new card and orders the kit to let it in; sync brings both;
the page believes neither the store nor sync.
"""

import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest

from appliance.age.identities import generate_identity
from appliance.age.sealing import seal
from appliance.base import people
from appliance.casework.readmission import Answered, readmit
from appliance.casework.withdrawal import hear_service
from appliance.errors import CaseWithdrawn, NoMatch
from appliance.protocol.cards import Card
from appliance.protocol.case_record import CaseRecord
from appliance.protocol.enrolment import Enrolled
from appliance.protocol.objects import service_order_object, tombstone_object
from appliance.protocol.orders import LARGEST, Readmission
from appliance.protocol.permits import recipient_digest
from appliance.protocol.readmission import (
    Answer,
    ReadmissionRefusal,
    has_come,
    key_file,
    key_path,
    key_waits,
)
from appliance.records.files import load_fact, new_id, save, save_fact, to_json
from appliance.selftest.rehearsal import Rehearsal, attune, expect, films
from appliance.stores.folder import FolderStore
from appliance.vault.cases import Cases, OpenCase
from appliance.vault.keys import PrivateKeys
from tests.support.homes import (
    CLOCK,
    STARTED,
    SendingKit,
    contents,
    ledger_of,
    new_store,
    practitioner,
    served,
    service,
    withdraw_at_service,
)


@dataclass
class Forgot:
    """A kit with a case that has been sent, and the new card of its practitioner, enrolled by a
    press; the service has done nothing yet."""

    kit: SendingKit
    store: FolderStore
    case: OpenCase
    new: PrivateKeys

    def recover(self) -> people.Recovered:
        """What `attune base --recover` does."""
        new, cases = self.new.card(), [self.case.id]
        with ledger_of(self.store) as ledger:
            (done,) = people.recover(self.store, service(), new, cases, self.kit.id, CLOCK, ledger)
        return done

    def order(self, sealed: bytes, **changes: Any) -> Readmission:
        """An order that is right in every field, but for `changes`."""
        order = Readmission(
            number=1,
            kit=self.kit.id,
            case=self.case.id,
            practitioner=self.new.card().name,
            recipient=recipient_digest(self.new.card().recipient),
            key=key_file(1, self.new.card()),
            sha256=hashlib.sha256(sealed).hexdigest(),
            at=STARTED,
        )
        return msgspec.structs.replace(order, **changes)

    def key(self) -> bytes:
        """The case's key as the service seals it to the new card."""
        text = f"{self.case.identity.secret_text()}\n".encode()
        return seal(text, [self.new.card().sealing_key(), service().card().sealing_key()])

    def deliver(
        self, note: bytes, sealed: bytes | None, number: int = 1
    ) -> list[tuple[int, ReadmissionRefusal | None]]:
        """Put this into the inbox, as a sync that was taken over might, and unlock."""
        self.kit.home.prepare(self.kit.home.inbox)
        save(self.kit.home.inbox / f"order-{number:06}", note)
        if sealed is not None:
            save(key_path(self.kit.home, number), sealed)
        return [(one.number, one.refusal) for one in self.unlock()]

    def unlock(self) -> list[Answered]:
        return readmit(self.kit.home, self.kit.cases, self.new)

    def enrol(self, *cards: Card) -> None:
        enrolled = Enrolled(service=service().card(), practitioners=cards)
        save_fact(self.kit.home.kit / "enrolled.json", enrolled)

    @property
    def enrolled(self) -> Enrolled:
        found = load_fact(self.kit.home.kit / "enrolled.json", Enrolled)
        assert found
        return found

    def opened(self) -> OpenCase:
        """The case with the new card. Raises NoMatch while it is not let in."""
        verifiers = [practitioner().signer.verifier, self.new.signer.verifier]
        return self.kit.cases.open(self.case.id, self.new, verifiers)

    @property
    def is_in(self) -> bool:
        try:
            return self.new.card() in self.opened().team
        except (NoMatch, CaseWithdrawn):
            return False

    def keys_here(self) -> list[str]:
        return sorted(path.name for path in self.case.directory.glob("*identity-*"))


@pytest.fixture
def forgot(tmp_path: Path) -> Forgot:
    store = new_store(tmp_path / "service")
    kit = SendingKit(tmp_path / "kit", tmp_path / "service")
    found = Forgot(kit, store, kit.case(), PrivateKeys.generate("practitioner"))
    kit.sync()
    found.enrol(practitioner().card(), found.new.card())
    return found


def signed(order: Readmission, keys: PrivateKeys | None = None) -> bytes:
    return (keys or service()).signer.sign(f"{to_json(order).decode()}\n").encode()


# --- As it should go ----------------------------------------------------------------------------


def test_who_forgot_is_let_in_like_a_colleague_and_the_rest_stays_as_it_was(
    forgot: Forgot,
) -> None:
    before = load_fact(forgot.case.directory / "case.json", CaseRecord)
    assert forgot.recover().order == 1
    assert forgot.unlock() == []
    assert forgot.kit.sync().state == "sent"
    assert has_come(forgot.kit.home, forgot.new.card().name)
    assert [(one.case, one.refusal) for one in forgot.unlock()] == [(forgot.case.id, None)]
    assert forgot.opened().team == (practitioner().card(), forgot.new.card())
    assert forgot.opened().identity.secret_text() == forgot.case.identity.secret_text()
    assert load_fact(forgot.case.directory / "case.json", CaseRecord) == before
    assert forgot.kit.cases.open(
        forgot.case.id, practitioner(), [practitioner().signer.verifier, forgot.new.signer.verifier]
    )


def test_a_second_unlock_and_a_second_order_change_nothing_more(forgot: Forgot) -> None:
    forgot.recover()
    forgot.kit.sync()
    forgot.unlock()
    here = contents(forgot.case.directory)
    assert forgot.unlock() == []
    assert contents(forgot.case.directory) == here
    assert forgot.recover().order == 2
    forgot.kit.sync()
    assert [one.refusal for one in forgot.unlock()] == [None]
    assert forgot.keys_here() == ["identity-0001.age", "identity-0002.age"]
    assert not has_come(forgot.kit.home, forgot.new.card().name)


def test_what_was_taken_in_goes_to_the_service_and_its_key_does_not_stay_in_the_inbox(
    forgot: Forgot,
) -> None:
    """The service's own file must not stand where the kit's next one goes."""
    forgot.recover()
    forgot.kit.sync()
    assert key_path(forgot.kit.home, 1).exists()
    forgot.unlock()
    status = forgot.kit.sync()
    assert (status.state, status.problems) == ("sent", ())
    assert not key_path(forgot.kit.home, 1).exists()
    there = contents(forgot.kit.store)
    sealed = {n: data for n, data in forgot.kit.sendable().items() if "/readmitted/" not in n}
    assert there.items() >= sealed.items()
    assert f"cases/{forgot.case.id}/identity-0002.age" in there


def test_of_two_orders_for_one_case_the_newer_counts(forgot: Forgot) -> None:
    forgot.recover()
    forgot.recover()
    status = forgot.kit.sync()
    assert status.problems == ()
    assert [path.name for path in forgot.kit.home.inbox.glob("key-*")] == ["key-000002"]
    assert [(one.number, one.refusal) for one in forgot.unlock()] == [(2, None)]


def test_what_was_sent_for_a_colleague_waits_for_them(forgot: Forgot) -> None:
    forgot.recover()
    forgot.kit.sync()
    third = PrivateKeys.generate("practitioner")
    forgot.enrol(practitioner().card(), forgot.new.card(), third.card())
    assert readmit(forgot.kit.home, forgot.kit.cases, third) == []
    assert not forgot.is_in
    assert [one.refusal for one in forgot.unlock()] == [None]


def test_an_order_that_comes_without_its_key_waits_for_it(forgot: Forgot) -> None:
    sealed = forgot.key()
    assert forgot.deliver(signed(forgot.order(sealed)), None) == []
    save(key_path(forgot.kit.home, 1), sealed)
    assert [one.refusal for one in forgot.unlock()] == [None]
    assert forgot.is_in


# --- The power goes -----------------------------------------------------------------------------


class PowerCut(Exception):
    pass


class CutAfter(Cases):
    """The plug is pulled when the case's key file is written and its list of people is not."""

    def admit(self, case: OpenCase, member: Card, enrolled: Enrolled) -> OpenCase:
        class Cut(OpenCase):
            def write(self, *_: object, **__: object) -> str:
                raise PowerCut

        fields = {name: getattr(case, name) for name in case.__dataclass_fields__}
        return super().admit(Cut(**fields), member, enrolled)


def test_a_power_cut_between_the_key_and_the_list_of_people_is_finished_at_the_next_unlock(
    forgot: Forgot,
) -> None:
    forgot.recover()
    forgot.kit.sync()
    with pytest.raises(PowerCut):
        readmit(forgot.kit.home, CutAfter(forgot.kit.home), forgot.new)
    assert not forgot.is_in
    assert forgot.opened().identity.secret_text() == forgot.case.identity.secret_text()
    assert [one.refusal for one in forgot.unlock()] == [None]
    assert forgot.is_in
    assert forgot.kit.sync().state == "sent"


def test_a_power_cut_before_the_answer_is_written_lets_nobody_in_twice(forgot: Forgot) -> None:
    forgot.recover()
    forgot.kit.sync()
    forgot.unlock()
    (forgot.case.directory / "readmitted" / "000001").unlink()
    here = contents(forgot.case.directory)
    assert [one.refusal for one in forgot.unlock()] == [None]
    answer = contents(forgot.case.directory).items() - here.items()
    assert [name for name, _ in answer] == ["readmitted/000001"]


def test_a_power_cut_between_order_and_key_brings_the_key_with_the_next_contact(
    forgot: Forgot,
) -> None:
    forgot.recover()
    forgot.kit.sync()
    key_path(forgot.kit.home, 1).unlink()
    assert forgot.unlock() == []
    assert forgot.kit.sync().problems == ()
    assert [one.refusal for one in forgot.unlock()] == [None]


# --- What lets nobody in ------------------------------------------------------------------------


def nothing_happened(forgot: Forgot) -> bool:
    return not forgot.is_in and forgot.keys_here() == ["identity-0001.age"]


def in_the_store(forgot: Forgot, note: bytes, number: int = 1) -> str:
    """Put a note where the kit looks for an order; returns its name."""
    name = service_order_object(forgot.kit.id, number)
    (forgot.kit.store / name).parent.mkdir(exist_ok=True)
    save(forgot.kit.store / name, note)
    return name


def sync_refuses(forgot: Forgot, note: bytes, number: int = 1) -> bool:
    name = in_the_store(forgot, note, number)
    problems = [(problem.object, problem.code) for problem in forgot.kit.sync().problems]
    here = forgot.kit.home.inbox / f"order-{number:06}"
    return problems == [(name, "false-order")] and not here.exists()


def test_an_order_that_another_service_signed_lets_nobody_in(forgot: Forgot) -> None:
    sealed = forgot.key()
    note = signed(forgot.order(sealed), PrivateKeys.generate("service"))
    assert sync_refuses(forgot, note)
    assert forgot.deliver(note, sealed) == [(1, ReadmissionRefusal.NOT_SIGNED)]
    by_a_colleague = signed(forgot.order(sealed), practitioner())
    assert forgot.deliver(by_a_colleague, sealed) == [(1, ReadmissionRefusal.NOT_SIGNED)]
    altered = signed(forgot.order(sealed)).replace(forgot.case.id.encode(), new_id().encode())
    assert forgot.deliver(altered, sealed) == [(1, ReadmissionRefusal.NOT_SIGNED)]
    assert nothing_happened(forgot)


def test_an_older_order_that_is_brought_again_lets_nobody_in(forgot: Forgot) -> None:
    sealed = forgot.key()
    old = signed(forgot.order(sealed))
    assert forgot.deliver(old, sealed, number=3) == [(3, ReadmissionRefusal.OUT_OF_TURN)]
    assert nothing_happened(forgot)
    (forgot.kit.home.inbox / "order-000003").unlink()
    forgot.recover()
    forgot.kit.sync()
    assert sync_refuses(forgot, old, number=2)


def test_an_order_that_was_carried_out_lets_nobody_in_again_after_they_have_left(
    forgot: Forgot,
) -> None:
    forgot.recover()
    forgot.kit.sync()
    sealed = key_path(forgot.kit.home, 1).read_bytes()
    note = (forgot.kit.home.inbox / "order-000001").read_bytes()
    forgot.unlock()
    verifiers = [practitioner().signer.verifier, forgot.new.signer.verifier]
    theirs = forgot.kit.cases.open(forgot.case.id, practitioner(), verifiers)
    forgot.kit.cases.release(theirs, forgot.new.card().name, forgot.enrolled)
    assert forgot.deliver(note, sealed) == []
    (forgot.case.directory / "readmitted" / "000001").unlink()
    assert forgot.deliver(note, sealed) == [(1, ReadmissionRefusal.OTHER_KEY)]
    assert not forgot.is_in


def test_an_order_for_another_kit_lets_nobody_in(forgot: Forgot) -> None:
    sealed = forgot.key()
    note = signed(forgot.order(sealed, kit=new_id()))
    assert sync_refuses(forgot, note)
    assert forgot.deliver(note, sealed) == [(1, ReadmissionRefusal.OTHER_KIT)]
    assert nothing_happened(forgot)


def test_an_order_for_a_card_that_was_never_enrolled_here_lets_nobody_in(forgot: Forgot) -> None:
    """Nobody has pressed the button for it."""
    forgot.enrol(practitioner().card())
    forgot.recover()
    assert forgot.kit.sync().problems == ()
    assert list(forgot.kit.home.inbox.glob("key-*")) == []
    assert [one.refusal for one in forgot.unlock()] == [ReadmissionRefusal.NOT_ENROLLED]
    assert [one.refusal for one in readmit(forgot.kit.home, forgot.kit.cases, practitioner())] == [
        ReadmissionRefusal.NOT_ENROLLED
    ]
    assert nothing_happened(forgot)


def test_a_card_of_the_same_name_with_another_key_is_another_card(forgot: Forgot) -> None:
    sealed = forgot.key()
    other = recipient_digest(str(generate_identity().recipient))
    note = signed(forgot.order(sealed, recipient=other))
    assert forgot.deliver(note, sealed) == [(1, ReadmissionRefusal.NOT_ENROLLED)]
    assert nothing_happened(forgot)


def test_who_was_revoked_meanwhile_is_not_let_in_and_nobody_is_bothered(forgot: Forgot) -> None:
    forgot.recover()
    enrolled = Enrolled(
        service=service().card(),
        practitioners=(practitioner().card(),),
        former=(forgot.new.card(),),
    )
    save_fact(forgot.kit.home.kit / "enrolled.json", enrolled)
    forgot.kit.sync()
    assert list(forgot.kit.home.inbox.glob("key-*")) == []
    assert forgot.unlock() == []
    assert nothing_happened(forgot)


def test_a_key_that_is_not_the_cases_own_is_not_taken_in(forgot: Forgot) -> None:
    """Whatever the service signed: what the case states is what its films are sealed to."""
    text = f"{generate_identity().secret_text()}\n".encode()
    other = seal(text, [forgot.new.card().sealing_key()])
    assert forgot.deliver(signed(forgot.order(other)), other) == [(1, ReadmissionRefusal.OTHER_KEY)]
    assert nothing_happened(forgot)


def test_a_key_from_before_somebody_left_is_not_taken_in(forgot: Forgot) -> None:
    third = PrivateKeys.generate("practitioner").card()
    forgot.enrol(practitioner().card(), forgot.new.card(), third)
    forgot.kit.cases.admit(forgot.case, third, forgot.enrolled)
    forgot.recover()
    forgot.kit.sync()
    forgot.kit.cases.release(forgot.case, third.name, forgot.enrolled)
    assert [one.refusal for one in forgot.unlock()] == [ReadmissionRefusal.OTHER_KEY]
    assert not forgot.is_in
    forgot.kit.sync()
    forgot.recover()
    forgot.kit.sync()
    assert [one.refusal for one in forgot.unlock()] == [None]
    assert forgot.is_in


def test_an_order_for_a_case_that_is_not_here_lets_nobody_in(forgot: Forgot) -> None:
    sealed = forgot.key()
    note = signed(forgot.order(sealed, case=new_id()))
    assert forgot.deliver(note, sealed) == [(1, ReadmissionRefusal.NO_SUCH_CASE)]
    assert sorted(forgot.kit.home.cases.iterdir()) == [forgot.case.directory]


def test_a_withdrawn_case_stays_closed_and_its_key_leaves_the_inbox(forgot: Forgot) -> None:
    forgot.recover()
    forgot.kit.sync()
    forgot.kit.withdraw(forgot.case.id)
    assert key_waits(forgot.kit.home, forgot.case.id)
    assert [one.refusal for one in forgot.unlock()] == [ReadmissionRefusal.WITHDRAWN]
    assert forgot.keys_here() == []
    # Without any network, too.
    forgot.kit.sender().waits("file:///nowhere", "no-network")
    assert not key_waits(forgot.kit.home, forgot.case.id)
    assert list(forgot.kit.home.inbox.glob("*key-*")) == []


def test_a_case_that_was_withdrawn_elsewhere_stays_closed(forgot: Forgot) -> None:
    """The service's tombstone goes before every order of its own."""
    forgot.recover()
    withdraw_at_service(forgot.store, forgot.case.id)
    served(forgot.store)
    assert (forgot.kit.store / tombstone_object(forgot.case.id)).exists()
    forgot.kit.sync()
    assert list(forgot.kit.home.inbox.glob("key-*")) == []
    assert hear_service(forgot.kit.home).new
    assert [one.refusal for one in forgot.unlock()] == [ReadmissionRefusal.WITHDRAWN]
    assert forgot.keys_here() == []


class WithdrawnMeanwhile(Cases):
    """The family withdraws while the key is being taken in."""

    def __init__(self, kit: SendingKit) -> None:
        super().__init__(kit.home)
        self._kit = kit

    def admit(self, case: OpenCase, member: Card, enrolled: Enrolled) -> OpenCase:
        team = case.team
        self._kit.withdraw(case.id)
        (case.directory / "documents").mkdir()
        save(case.directory / "identity-0002.age", b"what was being written")
        assert team
        return case


def test_a_withdrawal_that_comes_while_a_key_is_taken_in_removes_that_key_too(
    forgot: Forgot,
) -> None:
    forgot.recover()
    forgot.kit.sync()
    found = readmit(forgot.kit.home, WithdrawnMeanwhile(forgot.kit), forgot.new)
    assert [one.refusal for one in found] == [ReadmissionRefusal.WITHDRAWN]
    assert forgot.keys_here() == []


@pytest.mark.parametrize(
    "note", [b"", b"\xff\xfe", b"nonsense\n", b"{}\n", b"x" * (LARGEST + 1)], ids=repr
)
def test_what_is_no_order_is_refused_and_never_hides_a_later_one(
    forgot: Forgot, note: bytes
) -> None:
    assert sync_refuses(forgot, note)
    assert forgot.deliver(note, None) == [(1, ReadmissionRefusal.UNREADABLE)]
    sealed = forgot.key()
    found = forgot.deliver(signed(forgot.order(sealed, number=2)), sealed, number=2)
    assert found == [(1, ReadmissionRefusal.UNREADABLE), (2, None)]


def test_a_pipe_in_the_inbox_holds_nobody_up(forgot: Forgot) -> None:
    forgot.kit.home.prepare(forgot.kit.home.inbox)
    os.mkfifo(forgot.kit.home.inbox / "order-000001")
    os.mkfifo(forgot.kit.home.inbox / "key-000002")
    sealed = forgot.key()
    found = forgot.deliver(signed(forgot.order(sealed, number=2)), None, number=2)
    assert found == [(1, ReadmissionRefusal.UNREADABLE), (2, ReadmissionRefusal.KEY_UNREADABLE)]


def spoiled(forgot: Forgot, how: str) -> bytes:
    sealed = forgot.key()
    if how == "empty":
        return b""
    if how == "cut":
        return sealed[:-5]
    if how == "altered":
        return sealed[:-1] + bytes([sealed[-1] ^ 1])
    if how == "too long":
        return sealed + b"x" * LARGEST
    return os.urandom(3000)


@pytest.mark.parametrize("how", ["empty", "cut", "altered", "too long", "garbage"])
def test_another_key_file_than_the_one_that_was_signed_for_is_not_taken_in(
    forgot: Forgot, how: str
) -> None:
    found = forgot.recover()
    path = forgot.kit.store / found.key
    true = path.read_bytes()
    path.write_bytes(spoiled(forgot, how))
    problems = [(problem.object, problem.code) for problem in forgot.kit.sync().problems]
    assert problems == [(found.key, "false-key")]
    assert list(forgot.kit.home.inbox.glob("key-*")) == []
    save(key_path(forgot.kit.home, 1), spoiled(forgot, how))
    assert [one.refusal for one in forgot.unlock()] == [ReadmissionRefusal.KEY_UNREADABLE]
    assert nothing_happened(forgot)
    path.write_bytes(true)
    assert forgot.kit.sync().problems == ()
    assert not key_path(forgot.kit.home, 1).exists()


@pytest.mark.parametrize("how", ["empty", "garbage", "for another card", "no key inside"])
def test_a_key_file_that_was_signed_for_and_is_none_is_not_taken_in(
    forgot: Forgot, how: str
) -> None:
    sealed = spoiled(forgot, how)
    if how == "for another card":
        text = f"{forgot.case.identity.secret_text()}\n".encode()
        sealed = seal(text, [service().card().sealing_key()])
    if how == "no key inside":
        sealed = seal(b"\xff nothing of the kind", [forgot.new.card().sealing_key()])
    found = forgot.deliver(signed(forgot.order(sealed)), sealed)
    assert found == [(1, ReadmissionRefusal.KEY_UNREADABLE)]
    answer = load_fact(forgot.case.directory / "readmitted" / "000001", Answer)
    assert answer == Answer(number=1, practitioner=forgot.new.card().name, refusal="key-unreadable")
    assert nothing_happened(forgot)


def test_a_key_file_with_a_path_for_a_name_is_no_order(forgot: Forgot) -> None:
    sealed = forgot.key()
    note = signed(forgot.order(sealed, key="../../../kits/x"))
    assert forgot.deliver(note, sealed) == [(1, ReadmissionRefusal.UNREADABLE)]
    in_the_store(forgot, note)
    assert "false-key" not in {problem.code for problem in forgot.kit.sync().problems}


def test_every_refusal_says_what_it_means() -> None:
    assert len({refusal.sentence for refusal in ReadmissionRefusal}) == len(ReadmissionRefusal)
    assert all(refusal.sentence.endswith(".") for refusal in ReadmissionRefusal)


# --- All the way home ---------------------------------------------------------------------------


@pytest.mark.slow
def test_who_forgot_the_passphrase_plays_an_old_film_again_with_a_new_card(tmp_path: Path) -> None:
    """The real processes, the real commands, a folder as the store."""
    visit = Rehearsal(tmp_path, None, 10, [], lambda _step: None)
    with visit.kit as kit:
        for step in (visit.make_keys, visit.start, visit.set_up, visit.unlock):
            step()
        for step in (visit.make_case, visit.arm, visit.film_and_press):
            step()
        page = visit.page
        film = films(visit.home)[0].name
        url = f"/cases/{visit.case}/films/{film}/video"
        before = page.get(url)
        assert (before.status, len(before.body) > 10_000) == (200, True)
        kit.run("sync", "--once")
        # While the kit is armed a press would film, and confirms nothing.
        expect(page.submit(f"/cases/{visit.case}", {}, form="/disarm"), 200)
        kit.recorder_shows("idle", lambda s: s.state == "idle")
        expect(page.submit("/cases", {}, form="/lock"), 200)

        shown = page.submit("/forgotten", {})
        words = re.search(r'id="words">([^<]+)<', shown.text)
        assert words
        expect(page.submit("/forgotten/press", {}), 200)
        kit.recorder_shows("presence asked for", lambda s: s.state == "presence")
        kit.press()
        kit.recorder_shows("idle", lambda s: s.state != "presence")
        waiting = page.get("/forgotten")
        card = re.search(r"/practitioners/practitioner-[a-z2-7]{16}\.pub", waiting.text)
        assert card and "It is waiting for your service" in waiting.text
        (tmp_path / "new.pub").write_bytes(page.get(card[0]).body)

        expect(page.submit("/unlock", {"passphrase": words[1]}), 200)
        assert page.get(url).status == 403
        expect(page.submit("/forgotten", {}, form="/lock"), 200)

        old = load_fact(visit.card, Card)
        identity = load_fact(visit.home.kit / "kit.json", people.KitCard)
        assert old and identity
        said = attune(
            *("base", str(visit.store), "-i", str(visit.keys), "--once"),
            *("--recover", str(tmp_path / "new.pub"), "--instead-of", old.name),
            *("--kit", identity.id),
        )
        assert "order 1 for kit" in said
        done = kit.run("sync", "--once")
        assert done.returncode == 0, done.stderr
        assert "Your service has answered" in page.get("/forgotten").text

        there = page.submit("/unlock", {"passphrase": words[1]})
        assert "Your service has let you back in. You can open 1 family" in page.get("/cases").text
        assert there.status == 200
        after = page.get(url)
        assert (after.status, after.body == before.body) == (200, True)
        # What was taken in goes to the service, and nothing is in its way.
        done = kit.run("sync", "--once")
        assert (done.returncode, "nothing is waiting" in done.stdout) == (0, True), done.stderr
        assert list(visit.home.inbox.glob("key-*")) == []
