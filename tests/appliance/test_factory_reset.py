"""Factory reset: by its service's order and a press a kit is wholly new, or not changed at all."""

import shutil
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from appliance.age.sealing import VERSION_LINE
from appliance.base.orders import order_reset
from appliance.config import Config
from appliance.errors import KitError, SendInterrupted, SendRefused
from appliance.factory_reset import (
    ResetRefusal,
    begin,
    begun,
    finish,
    former,
    judge,
    note_compared,
    ordered,
    others_left,
    remove_own,
    unsent,
)
from appliance.protocol.audits import (
    AUDIT,
    FilmsSeen,
    StoreAudit,
    digest,
    order_and_audit,
    with_audit,
)
from appliance.protocol.cards import KitCard
from appliance.protocol.enrolment import Enrolled
from appliance.protocol.objects import NEWEST_AUDIT
from appliance.protocol.orders import FirstReset, Reset, Withdrawal
from appliance.protocol.receipts import receipt_path
from appliance.protocol.requests import FactoryReset
from appliance.protocol.status import Pattern, State
from appliance.records.audit import check_chain
from appliance.records.clock import SystemClock, Trust
from appliance.records.files import load_fact, new_id, save, save_fact, to_json
from appliance.records.signing import Signer, open_note, sign_fact
from appliance.selftest.kit import Kit, free_port, wait_for
from appliance.selftest.visit import Visit, enrol
from appliance.stores.folder import FolderStore
from appliance.stores.store import Entry
from appliance.sync.sender import look
from appliance.vault.keys import PrivateKeys
from tests.support.fakes import SERVICE, Stage
from tests.support.homes import (
    STARTED,
    SendingKit,
    an_audit,
    contents,
    ledger_of,
    new_store,
    practitioner,
    service,
)
from tests.support.pages import Browser, WebKit
from tests.support.pages import service as page_service
from tests.support.pseudo import LANGUAGE, catalogue, not_translated
from web_ui.app import create_app
from web_ui.pages.factory_reset import COUNT_SECONDS

CLOCK = SystemClock()


NOW = STARTED + timedelta(hours=1)


def order(
    kit: str,
    signer: Signer,
    number: int = 1,
    unsent: bool = False,
    at: datetime = STARTED,
    audit: StoreAudit | None = None,
) -> str:
    """What the service ordered and, behind it, what it found at its store just then."""
    reset = Reset(number=number, kit=kit, unsent=unsent, at=at)
    return with_audit(sign_fact(signer, reset), sign_fact(signer, audit or an_audit(at)))


@pytest.fixture
def kit(tmp_path: Path) -> SendingKit:
    new_store(tmp_path / "service")
    return SendingKit(tmp_path / "kit", tmp_path / "service")


def seen(note: str, of_kit: str, films: Iterable[str], **changed: str) -> str:
    """The same, and that the service saw these films of the kit."""
    text, audit = order_and_audit(note)
    fields = {"kit": of_kit, "audit": digest(audit)} | changed
    fact = FilmsSeen(at=STARTED, films=tuple(films), **fields)
    return with_audit(text, audit, sign_fact(service().signer, fact))


def films_of(kit: SendingKit) -> list[str]:
    imports = kit.home.cases.glob("*/imports/*/manifest")
    return [path.parent.name for path in (*kit.home.recordings.glob("*/manifest"), *imports)]


def answer(kit: SendingKit, note: str) -> Reset | ResetRefusal:
    """To an order that somebody carries to the kit, all of whose films the service saw."""
    if order_and_audit(note)[1]:
        note = seen(note, kit.id, films_of(kit))
    return judge(note, kit.id, service().chain, kit.home, NOW)


# --- Which orders count -------------------------------------------------------------------------


def test_with_everything_confirmed_the_services_order_counts(kit: SendingKit) -> None:
    kit.film(kit.case().id, tail=True)
    kit.sync()
    assert list(unsent(kit.home)) == []
    assert isinstance(answer(kit, order(kit.id, service().signer)), Reset)


@pytest.mark.parametrize(
    ("kit_id", "signer", "why"),
    [
        ("another2kit2here", service().signer, ResetRefusal.OTHER_KIT),
        ("", Signer.generate("service-elsewhere"), ResetRefusal.NOT_SIGNED),
        ("", practitioner().signer, ResetRefusal.NOT_SIGNED),
        ("", Signer.generate(service().signer.verifier.name), ResetRefusal.NOT_SIGNED),
    ],
    ids=["another kit's", "another service's", "a practitioner's", "a service of the same name"],
)
def test_no_other_order_counts(
    kit: SendingKit, kit_id: str, signer: Signer, why: ResetRefusal
) -> None:
    assert answer(kit, order(kit_id or kit.id, signer)) is why


@pytest.mark.parametrize("note", ["", "x", "x\n\n", "{}\n\n\N{EM DASH} a AAAA\n", "\0" * 300])
def test_what_is_no_order_is_refused_in_words(kit: SendingKit, note: str) -> None:
    assert answer(kit, note) in (ResetRefusal.UNREADABLE, ResetRefusal.NOT_SIGNED)


def test_an_altered_order_and_an_order_of_another_kind_do_not_count(kit: SendingKit) -> None:
    kit.case()
    note = order(kit.id, service().signer)
    assert answer(kit, note.replace('"unsent":false', '"unsent":true')) is ResetRefusal.NOT_SIGNED
    other = Withdrawal(id=new_id(), case=new_id(), kit=kit.id, at=STARTED)
    assert (
        answer(kit, service().signer.sign(f"{to_json(other).decode()}\n"))
        is ResetRefusal.UNREADABLE
    )


def test_a_kit_without_a_service_is_not_set_back(kit: SendingKit) -> None:
    note = order(kit.id, service().signer)
    assert judge(note, kit.id, None, kit.home, NOW) is ResetRefusal.NOT_SET_UP


# --- That the service has looked through its store ------------------------------------------------


@pytest.mark.parametrize(
    ("audited", "now", "why"),
    [
        (timedelta(0), timedelta(days=7), None),
        (timedelta(0), timedelta(days=7, seconds=1), ResetRefusal.NOT_AUDITED),
        (-timedelta(seconds=1), timedelta(hours=1), ResetRefusal.NOT_AUDITED),
        (timedelta(days=3), timedelta(days=2), ResetRefusal.NOT_AUDITED),
    ],
    ids=["seven days old", "older", "from before the order", "of a day to come"],
)
def test_an_order_needs_an_audit_that_is_younger_and_of_these_seven_days(
    kit: SendingKit, audited: timedelta, now: timedelta, why: ResetRefusal | None
) -> None:
    note = order(kit.id, service().signer, audit=an_audit(STARTED + audited))
    found = judge(note, kit.id, service().chain, kit.home, STARTED + now)
    assert found is why if why else isinstance(found, Reset)


def test_without_an_audit_of_this_service_or_a_clock_nothing_is_removed(kit: SendingKit) -> None:
    note = order(kit.id, service().signer)
    alone = note.partition("\n\n{")[0] + "\n"
    assert answer(kit, alone) is ResetRefusal.NOT_AUDITED
    other = sign_fact(practitioner().signer, an_audit())
    assert answer(kit, with_audit(alone, other)) is ResetRefusal.NOT_AUDITED
    assert judge(note, kit.id, service().chain, kit.home, None) is ResetRefusal.CLOCK_NOT_SET


def test_an_order_of_before_is_read_and_refused_in_words(kit: SendingKit) -> None:
    note = sign_fact(service().signer, FirstReset(number=1, kit=kit.id, at=STARTED))
    assert answer(kit, note) is ResetRefusal.OLD_ORDER
    kit.home.prepare(kit.home.inbox)
    save(kit.home.inbox / "order-000001", note.encode())
    assert ordered(kit.home) == note


def test_what_the_store_has_lost_of_this_kit_keeps_it_as_it_is(kit: SendingKit) -> None:
    """The receipts say that all is there; what they say was so once."""
    case = kit.case()
    kit.film(case.id)
    kit.sync()

    def lost(name: str, more: int = 0, unsent: bool = False) -> object:
        audit = an_audit(lost=[name], more=more)
        return answer(kit, order(kit.id, service().signer, unsent=unsent, audit=audit))

    assert lost(f"cases/{case.id}/recordings/x/0000.mp4.age") is ResetRefusal.LOST_THERE
    assert lost(f"cases/{case.id}") is ResetRefusal.LOST_THERE
    for unclear in (f"Case {case.id}", f"Case {new_id()}", "cases/", "", f"x/{new_id()}"):
        assert lost(unclear, unsent=True) is ResetRefusal.LOST_THERE, "nobody can say whose it is"
    assert isinstance(lost(f"cases/{new_id()}/recordings/x/manifest"), Reset)
    assert lost(f"cases/{new_id()}", more=1) is ResetRefusal.LOST_THERE
    assert isinstance(lost(f"cases/{case.id}", unsent=True), Reset)
    save(case.directory / "hold", b"held")
    assert lost(f"cases/{case.id}", unsent=True) is ResetRefusal.HELD


def test_an_order_that_is_carried_by_hand_needs_an_audit_that_saw_every_film_here(
    kit: SendingKit,
) -> None:
    case = kit.case()
    films = [kit.film(case.id), kit.film(case.id)]
    film = new_id()
    brought = case.directory / "imports" / film
    brought.mkdir(parents=True)
    (brought / "0000.mp4.age").write_bytes(VERSION_LINE)
    save(brought / "manifest", (kit.home.recording(films[0]) / "manifest").read_bytes())
    films.append(film)
    kit.sync()
    assert list(unsent(kit.home)) == []
    note = order(kit.id, service().signer)

    def says(note: str) -> object:
        return judge(note, kit.id, service().chain, kit.home, NOW)

    whole = seen(note, kit.id, [*films, new_id()])
    assert isinstance(says(whole), Reset)
    for missing in films:
        some = seen(note, kit.id, set(films) - {missing})
        assert says(some) is ResetRefusal.NOT_SEEN, missing
    for other in (
        note,
        seen(note, kit.id, films, kit=new_id()),
        seen(note, kit.id, films, audit=digest("another audit")),
        whole.replace(films[0], "a" * 16),
        whole.rpartition("\n\n{")[0] + "\n\n{}",
        whole + seen(note, kit.id, films),
    ):
        assert says(other) is ResetRefusal.NOT_SEEN
    unsent_too = order(kit.id, service().signer, unsent=True)
    assert isinstance(says(unsent_too), Reset), "the service says that it may go"
    save(case.directory / "hold", b"held")
    assert says(unsent_too) is ResetRefusal.NOT_SEEN


def test_a_kit_that_has_its_order_from_the_store_goes_by_its_own_look(kit: SendingKit) -> None:
    kit.film(kit.case().id)
    kit.sync()
    note = order(kit.id, service().signer)
    for name, part in zip(("order-000001", AUDIT), order_and_audit(note), strict=True):
        save(kit.home.inbox / name, part.encode())

    def says(note: str) -> object:
        return judge(note, kit.id, service().chain, kit.home, NOW)

    carried = seen(note, kit.id, films_of(kit))
    assert says(note) is says(carried) is ResetRefusal.NOT_COMPARED
    note_compared(kit.home, ordered(kit.home))
    assert isinstance(says(note), Reset) and isinstance(says(carried), Reset)
    other = order(kit.id, service().signer, audit=an_audit(STARTED + timedelta(minutes=1)))
    assert says(other) is ResetRefusal.NOT_SEEN, "that look was for another audit"
    assert isinstance(says(seen(other, kit.id, films_of(kit))), Reset)


def test_a_kit_that_is_to_be_set_back_looks_once_more_whether_the_store_has_it_all(
    kit: SendingKit,
) -> None:
    case = kit.case()
    kit.sync()
    (gone,) = (kit.store / "cases" / case.id / "documents").glob("team-0001*")
    gone.unlink()
    kit.sync()
    assert not gone.exists(), "nothing else has it looked"
    with ledger_of(FolderStore(kit.store)) as ledger:
        order_reset(FolderStore(kit.store), service(), ledger, kit.id, False, STARTED)
    kit.sync()
    assert gone.exists()


class Cut(FolderStore):
    """A line that drops in the listing, or a store that a kit may not list."""

    def __init__(self, root: Path, error: KitError) -> None:
        super().__init__(root)
        self._error = error

    def list(self, prefix: str) -> Iterator[Entry]:
        if prefix.startswith("cases/"):
            raise self._error
        return super().list(prefix)


@pytest.mark.parametrize("error", [SendInterrupted("Cut."), SendRefused("No.")])
def test_nothing_is_removed_before_all_was_held_against_the_store_to_the_end(
    kit: SendingKit, error: KitError
) -> None:
    case = kit.case()
    kit.sync()
    store = FolderStore(kit.store)
    with ledger_of(store) as ledger:
        order_reset(store, service(), ledger, kit.id, False, STARTED)
    (kit.store / NEWEST_AUDIT).parent.mkdir()
    save(kit.store / NEWEST_AUDIT, sign_fact(service().signer, an_audit()).encode())
    (gone,) = (kit.store / "cases" / case.id / "documents").glob("details-0001*")
    gone.unlink()
    for _ in range(2):
        with suppress(SendInterrupted):
            kit.sync(Cut(kit.store, error))
        assert ordered(kit.home) and not gone.exists()
        assert answer(kit, ordered(kit.home)) is ResetRefusal.NOT_COMPARED
    kit.sync()
    assert gone.exists(), "what was cut short is done again with the next contact"
    assert isinstance(answer(kit, ordered(kit.home)), Reset)
    audit = sign_fact(service().signer, an_audit(STARTED + timedelta(minutes=5)))
    save(kit.home.inbox / AUDIT, audit.encode())
    assert answer(kit, ordered(kit.home)) is ResetRefusal.NOT_COMPARED, "that was before this"


# --- What must be with the service before ---------------------------------------------------------


def test_each_file_that_sync_sends_must_be_confirmed(kit: SendingKit) -> None:
    """What is asked for here and what is sent are two lists: they must be the same one."""
    case = kit.case()
    film = kit.film(case.id, tail=True)
    manifest = (kit.home.recording(film) / "manifest").read_bytes()
    for file, data in (
        ("imports/{}/manifest", manifest),
        ("imports/{}/0000.mp4.age", VERSION_LINE),
        ("shares/{}/clip.age", VERSION_LINE),
    ):
        path = case.directory / file.format(new_id())
        path.parent.mkdir(parents=True)
        save(path, data)
    half = case.directory / "imports" / new_id()
    half.mkdir()
    save(half / "0000.mp4.age", b"still coming in")
    kit.withdraw(kit.case().id)
    kit.sync()
    assert list(unsent(kit.home)) == []
    card = load_fact(kit.home.kit / "kit.json", KitCard)
    assert card is not None
    asked = [s for s in look(kit.home, card).here if not s.object.startswith("kits/")]
    assert len(asked) > 12
    for sealed in asked:
        receipt = receipt_path(kit.home, sealed.object)
        kept = receipt.read_bytes()
        receipt.unlink()
        assert len(list(unsent(kit.home))) == 1, sealed.object
        assert answer(kit, order(kit.id, service().signer)) is ResetRefusal.NOT_SENT
        receipt.write_bytes(kept)
    assert isinstance(answer(kit, order(kit.id, service().signer)), Reset)


@pytest.mark.parametrize("lie", [b"", b"{}", b"x" * 90])
def test_a_receipt_that_cannot_be_read_confirms_nothing(kit: SendingKit, lie: bytes) -> None:
    kit.case()
    kit.sync()
    name = next(iter(kit.receipts().keys() - {f"kits/{kit.id}/card.json"}))
    receipt_path(kit.home, name).write_bytes(lie)
    assert answer(kit, order(kit.id, service().signer)) is ResetRefusal.NOT_SENT


def test_a_film_under_way_and_one_that_nobody_can_read_are_not_confirmed(kit: SendingKit) -> None:
    case = kit.case()
    kit.sync()
    film = kit.film(case.id, ended=False)
    assert answer(kit, order(kit.id, service().signer)) is ResetRefusal.NOT_SENT
    (kit.home.recording(film) / "manifest").write_text("nothing of ours")
    assert answer(kit, order(kit.id, service().signer)) is ResetRefusal.NOT_SENT
    # Nobody can say whose it is, so nobody can say that no hold keeps it.
    assert answer(kit, order(kit.id, service().signer, unsent=True)) is ResetRefusal.HELD


def test_an_order_may_say_that_what_was_never_sent_goes_but_not_what_a_hold_keeps(
    kit: SendingKit,
) -> None:
    case = kit.case()
    kit.film(case.id)
    assert answer(kit, order(kit.id, service().signer)) is ResetRefusal.NOT_SENT
    assert isinstance(answer(kit, order(kit.id, service().signer, unsent=True)), Reset)
    save(case.directory / "hold", b"held")
    assert answer(kit, order(kit.id, service().signer, unsent=True)) is ResetRefusal.HELD
    kit.sync()
    assert isinstance(answer(kit, order(kit.id, service().signer)), Reset)


def test_a_withdrawn_case_needs_no_copy_anywhere_but_its_order_does(kit: SendingKit) -> None:
    case = kit.case()
    film = kit.film(case.id)
    kit.withdraw(case.id)
    kit.sync()
    # A page that was taken over can put an order there: what the recorder did not believe stays.
    assert {found for found, _name in unsent(kit.home)} == {case.id}
    shutil.rmtree(kit.home.recording(film))
    assert list(unsent(kit.home)) == []
    next(kit.home.receipts.glob("orders/*")).unlink()
    assert len(list(unsent(kit.home))) == 1


@pytest.mark.parametrize(
    "file", ["withdrawal", "withdrawn/planted", "ends/planted", "case.json", "hold/planted"]
)
@pytest.mark.parametrize(
    "lie", [b"\xff", b'{"attune":"share-end/v1","id":5}\n\n\xe2\x80\x94 x AAAAAAAA\n', b"[" * 9999]
)
def test_whatever_a_page_puts_into_a_case_the_order_is_answered(
    kit: SendingKit, file: str, lie: bytes
) -> None:
    case = kit.case()
    kit.sync()
    path = case.directory / file
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(lie)
    counts = order(kit.id, service().signer)
    if file in ("case.json", "hold/planted"):
        assert isinstance(answer(kit, counts), Reset), "it is with the service all the same"
    else:
        assert answer(kit, counts) is ResetRefusal.NOT_SENT


# --- The order on its way -------------------------------------------------------------------------


def test_the_order_comes_with_the_next_contact_and_is_found(kit: SendingKit) -> None:
    case = kit.case()
    store = new_store(kit.root.parent / "other")
    kit.store = kit.root.parent / "other"
    with ledger_of(store) as ledger:
        number, note = order_reset(store, service(), ledger, kit.id, False, STARTED)
    assert number == 1
    assert ordered(kit.home) == ""
    assert kit.sync(store).state == "sent"
    assert ordered(kit.home) == note.decode()
    assert answer(kit, ordered(kit.home)) is ResetRefusal.NOT_AUDITED
    audit = sign_fact(service().signer, an_audit())
    (kit.store / NEWEST_AUDIT).parent.mkdir()
    (kit.store / NEWEST_AUDIT).write_text(audit)
    kit.sync()
    assert ordered(kit.home) == with_audit(note.decode(), audit)
    assert isinstance(answer(kit, ordered(kit.home)), Reset)
    log = check_chain((kit.home.log("sync") / "log").read_bytes())
    assert [e.ids for e in log if e.event == "service-order-received"] == [{"order": "000001"}]
    assert case.directory.exists(), "an order alone removes nothing"


# --- Without a press, nothing -------------------------------------------------------------------


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    made = Stage(tmp_path)
    (made.home.case(made.case) / "case.json").unlink()
    return made


def now_for(stage: Stage, **changes: bool) -> str:
    """An order of this hour, as this stage's clock says."""
    return order(stage.books.kit, SERVICE.signer, at=stage.clock.wall, **changes)


def asked(stage: Stage, note: str) -> FactoryReset:
    now = stage.clock.read()
    return FactoryReset(id=new_id(), boot=now.boot, boottime=now.boottime, note=note)


def test_with_an_order_the_light_asks_for_a_press_and_the_press_begins_it(stage: Stage) -> None:
    request = asked(stage, now_for(stage))
    assert stage.ask(request) == "waiting"
    assert (stage.state, stage.light.pattern) == (State.ASKED, Pattern.PRESENCE)
    assert not begun(stage.home)
    stage.press_when_asked()
    assert begun(stage.home)
    assert stage.inbox.answers[request.id] == "done"
    said, _ = open_note((stage.home.kit / "reset").read_text(), [stage.books.signer.verifier])
    assert stage.books.kit in said
    log = check_chain((stage.home.log("recorder") / "log").read_bytes())
    assert "reset-begun" in [entry.event for entry in log]


@pytest.mark.parametrize("held", [0.01, 1.6, 6.0], ids=["a knock", "a hold", "a long hold"])
def test_a_knock_and_a_hold_are_no_press(stage: Stage, held: float) -> None:
    stage.ask(asked(stage, now_for(stage)))
    stage.press_when_asked(held)
    assert not begun(stage.home)


def test_without_a_press_it_is_over_after_a_minute(stage: Stage) -> None:
    request = asked(stage, now_for(stage))
    stage.ask(request)
    stage.advance(61)
    assert stage.inbox.answers[request.id] == "timed-out"
    stage.press()
    assert not begun(stage.home)


def test_an_order_that_does_not_count_is_not_even_asked_about(stage: Stage) -> None:
    for note in (
        order("another2kit2here", SERVICE.signer),
        order(stage.books.kit, Signer.generate("x")),
    ):
        assert stage.ask(asked(stage, note)) == "refused"
        assert stage.state not in (State.ASKED, State.PRESENCE)
        stage.press()
    assert not begun(stage.home)
    log = check_chain((stage.home.log("recorder") / "log").read_bytes())
    refused = [entry.ids["reason"] for entry in log if entry.event == "reset-refused"]
    assert refused == ["order-for-other-kit", "order-not-signed"]


def test_while_filming_a_kit_is_not_set_back(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.arm()
    stage.press()
    stage.advance(1)
    assert stage.state is State.FILMING
    assert stage.ask(asked(stage, now_for(stage, unsent=True))) == "refused"
    assert stage.state is State.FILMING
    # Nor is anything looked into: the button must not wait for thousands of receipts.
    assert stage.ask(asked(stage, "no order")) == "refused"
    log = check_chain((stage.home.log("recorder") / "log").read_bytes())
    refused = [entry.ids["reason"] for entry in log if entry.event == "reset-refused"]
    assert refused == ["filming"]
    stage.close()


def test_a_film_made_since_the_order_was_looked_at_is_not_lost_by_the_press(stage: Stage) -> None:
    request = asked(stage, now_for(stage))
    stage.ask(request)
    film = stage.home.recording(new_id())
    film.mkdir(parents=True)
    (film / "manifest").write_text("begun")
    stage.press_when_asked()
    assert not begun(stage.home)
    assert stage.inbox.answers[request.id] == "refused"
    assert stage.state is State.IDLE and stage.status.reason == "", "and no part is at fault"
    assert stage.events()[-1] == "reset-refused"


# --- What goes, and in which order ----------------------------------------------------------------


def begin_on(kit: SendingKit) -> None:
    save(kit.home.kit / "signing.key", kit.signer.secret_text().encode())
    begin(kit.home, order(kit.id, service().signer), kit.signer, STARTED)


def test_each_removes_its_own_and_the_recorder_waits_for_both(kit: SendingKit) -> None:
    kit.home.prepare(kit.home.keys, kit.home.web_requests, kit.home.permits, kit.home.log("web"))
    save(kit.home.keys / "tls.key", b"the page's key")
    save(kit.home.log("web") / "log", b"")
    kit.film(kit.case().id)
    kit.sync()
    begin_on(kit)
    assert others_left(kit.home)
    remove_own(kit.home, "web")
    assert contents(kit.home.cases) == contents(kit.home.keys) == {}
    assert contents(kit.home.recordings) and contents(kit.home.receipts)
    assert others_left(kit.home)
    remove_own(kit.home, "sync")
    assert not others_left(kit.home)
    assert contents(kit.home.recordings)
    finish(kit.home)
    assert set(contents(kit.home.root)) == {"kit/former"}
    before = former(kit.home)
    assert before is not None
    assert (before.kit, before.films, before.cases, before.unconfirmed) == (kit.id, 1, 1, 0)
    said, _ = open_note((kit.home.kit / "former").read_text(), [kit.signer.verifier])
    assert kit.id in said
    assert not begun(kit.home)


def test_a_page_that_removes_its_own_while_the_recorder_looks_holds_nothing_up(
    kit: SendingKit,
) -> None:
    for number in range(300):
        directory = kit.home.cases / f"{number}" / "documents"
        directory.mkdir(parents=True)
        (directory / "one").write_bytes(b"sealed")
    page = threading.Thread(target=remove_own, args=(kit.home, "web"))
    page.start()
    while page.is_alive():
        others_left(kit.home)
    page.join()
    shutil.rmtree(kit.home.inbox, ignore_errors=True)
    remove_own(kit.home, "sync")
    assert not others_left(kit.home)


def test_after_that_the_same_order_counts_no_more(kit: SendingKit) -> None:
    note = order(kit.id, service().signer)
    begin_on(kit)
    for process in ("web", "sync"):
        remove_own(kit.home, process)  # type: ignore[arg-type]
    finish(kit.home)
    again = SendingKit(kit.root, kit.store)
    assert again.id != kit.id
    assert judge(note, again.id, service().chain, again.home, NOW) is ResetRefusal.OTHER_KIT


def test_an_order_is_of_one_kit_with_all_its_numbers() -> None:
    for field in ("number", "kit", "at"):
        text = to_json(Reset(number=1, kit="k", at=STARTED))
        fields = msgspec.json.decode(text)
        del fields[field]
        with pytest.raises(msgspec.DecodeError):
            msgspec.json.decode(msgspec.json.encode(fields), type=Reset)


# --- Its page -------------------------------------------------------------------------------------


@pytest.fixture
def web(tmp_path: Path) -> WebKit:
    """A kit whose page nobody unlocked: its practitioners may be gone."""
    made = WebKit(tmp_path)
    save_fact(
        made.home.kit / "kit.json",
        KitCard(id=made.recorder.status.kit, verifier=str(made.recorder.signer.verifier)),
    )
    made.enrol()
    return made


def test_the_page_says_what_it_takes_and_asks_for_the_button_without_an_unlocked_practitioner(
    web: WebKit,
) -> None:
    page = web.browser.get("/kit/reset")
    assert "a reset file that your service has signed" in page.text
    assert "Your service's reset file has not reached this kit" in page.text
    note = order(web.recorder.status.kit, page_service().signer, at=web.clock.wall)
    for name, part in zip(("order-000001", AUDIT), order_and_audit(note), strict=True):
        save(web.home.inbox / name, part.encode())
    assert "Your service's reset file has reached this kit" in web.browser.get("/kit/reset").text
    page = web.browser.submit("/kit/reset", confirm="y")
    assert page.status == 409 and "does not know what time it is" in page.text
    web.recorder.show(clock=Trust.TRUSTED, now=web.clock.wall)
    page = web.browser.submit("/kit/reset", confirm="y")
    assert page.status == 409 and "has not yet checked" in page.text
    note_compared(web.home, ordered(web.home))
    assert web.browser.submit("/kit/reset").status == 400
    assert web.recorder.requests() == []
    page = web.browser.submit("/kit/reset", confirm="y")
    assert "Press the button on the kit within 60 seconds" in page.text
    (request,) = web.recorder.requests()
    assert isinstance(request, FactoryReset) and request.note == note


def test_whoever_opens_the_page_again_and_again_does_not_make_the_kit_look_through_its_files_again(
    web: WebKit,
) -> None:
    def is_told(words: str) -> bool:
        # The recorder's word is fresh for a few seconds only.
        web.recorder.show()
        return words in web.browser.get("/kit/reset").text

    place = web.home.recordings
    (place / new_id()).mkdir(parents=True)
    assert is_told("1 file is not uploaded yet")
    (place / new_id()).mkdir()
    web.clock.advance(COUNT_SECONDS)
    assert is_told("1 file is not uploaded yet")
    web.clock.advance(1)
    assert is_told("2 files are not uploaded yet")


def test_the_page_asks_nobody_for_a_press_for_an_order_that_does_not_count(web: WebKit) -> None:
    for number, signer, kit_id in (
        (1, page_service().signer, "another2kit2here"),
        (2, Signer.generate("service-elsewhere"), web.recorder.status.kit),
    ):
        note = order(kit_id, signer, number)
        save(web.home.inbox / f"order-{number:06}", note.encode())
        page = web.browser.submit("/kit/reset", confirm="y")
        assert page.status == 409 and "There is a problem" in page.text
    assert web.recorder.requests() == []


def test_what_became_of_the_kit_can_be_read_in_the_words_of_its_people(
    web: WebKit, tmp_path: Path
) -> None:
    kit_id = web.recorder.status.kit
    begin(web.home, order(kit_id, page_service().signer), web.recorder.signer, STARTED)
    (web.home.kit / "reset").rename(web.home.kit / "former")
    page = web.browser.get("/kit/reset")
    assert f"Before that it was kit {kit_id}" in page.text
    assert "The service had confirmed every file first." in page.text
    assert web.browser.get("/kit/reset/certificate").text.startswith('{"attune":"set-back/v1"')
    (web.home.kit / "enrolled.json").unlink()
    assert "What was on this kit before" in web.browser.get("/setup").text
    app = create_app(web.parts, LANGUAGE, catalogue(tmp_path / "translations"))
    said = Browser(app.test_client()).get("/kit/reset").text
    assert not_translated(said, {kit_id, kit_id[:4]}) == []


# --- A whole kit ----------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_kit_goes_to_other_hands_through_its_page_its_button_and_pulled_plugs(
    tmp_path: Path,
) -> None:
    config = Config(
        home=str(tmp_path / "home"),
        run=str(tmp_path / "run"),
        camera="scene",
        width=320,
        height=180,
        port=free_port(),
        store=(tmp_path / "service").as_uri(),
    )
    new_store(tmp_path / "service")
    with Kit(config, tmp_path / "logs") as kit:
        for process in ("recorder", "web", "sync"):
            kit.start(process)  # type: ignore[arg-type]
        page = kit.page()
        kit.recorder_shows("the recorder", lambda s: s.state == "idle", 20)
        old = enrol(kit, service(), practitioner()).kit
        secret = (kit.home.kit / "signing.key").read_text()
        certificate = (kit.home.keys / "tls.crt").read_bytes()
        Visit(kit, practitioner(), service(), None).vouch()  # type: ignore[arg-type]
        sealed = kit.home.case(new_id()) / "identity-0001.age"
        sealed.parent.mkdir()
        save(sealed, b"a case's key")

        note = order(old, service().signer, at=CLOCK.read().wall).encode()
        told = page.submit("/kit/reset", {}, files={"order": note})
        assert told.status == 400 and "Tick the box" in told.text
        other = order(new_id(), service().signer).encode()
        told = page.submit("/kit/reset", {"confirm": "y"}, files={"order": other})
        assert told.status == 409 and "another kit" in told.text
        told = page.submit("/kit/reset", {"confirm": "y"}, files={"order": note})
        assert told.status == 200 and "within 60 seconds" in told.text
        kit.recorder_shows("presence asked for", lambda s: s.state == "presence")
        kit.press()
        wait_for("the beginning", lambda: begun(kit.home) or former(kit.home), 10)
        # Whatever is cut from here on, it goes to its end.
        for _ in range(6):
            for process in ("recorder", "web", "sync"):
                kit.pull_the_plug(process)  # type: ignore[arg-type]
            for process in ("sync", "web", "recorder"):
                kit.start(process)  # type: ignore[arg-type]
            time.sleep(0.4)
        wait_for("the end", lambda: former(kit.home) and not begun(kit.home), 60)
        kit.recorder_shows("a new kit", lambda s: s.kit not in ("", old), 30)

        new = load_fact(kit.home.kit / "kit.json", KitCard)
        assert new is not None and new.id != old
        assert (kit.home.kit / "signing.key").read_text() != secret
        assert load_fact(kit.home.kit / "enrolled.json", Enrolled) is None
        assert not sealed.parent.exists()
        wait_for(
            "another certificate",
            lambda: (
                (kit.home.keys / "tls.crt").exists()
                and (kit.home.keys / "tls.crt").read_bytes() != certificate
            ),
            30,
        )
        log = check_chain((kit.home.log("recorder") / "log").read_bytes())
        assert (log[0].event, log[0].ids) == ("set-back", {"kit": old})
        page = kit.page()
        assert old in page.get("/kit/reset").text
        signed, by = page.get("/kit/reset/certificate").text, Signer.parse(secret).verifier
        assert open_note(signed, [by])
        # And it is a kit like any other: the old order is nothing to it, and it can be set up.
        told = page.submit("/setup", {"service_card": "x"})
        assert told.status != 200
        elsewhere = PrivateKeys.generate("service")
        assert enrol(kit, elsewhere, PrivateKeys.generate("practitioner")).kit == new.id
        told = page.submit("/kit/reset", {"confirm": "y"}, files={"order": note})
        assert told.status == 409 and "service did not sign this reset file" in told.text
