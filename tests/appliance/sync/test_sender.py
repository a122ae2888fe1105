"""Sending: everything, once, byte for byte, to the right place; and nothing lost on the way."""

import io
import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import IO, BinaryIO

import pytest

from appliance.age.recipients import parse_recipient
from appliance.age.sealing import VERSION_LINE
from appliance.casework.clips import sealed_file
from appliance.casework.importing import Original, import_film
from appliance.casework.reviews import Review
from appliance.errors import KitError, NotLetIn, SendInterrupted, SendRefused, TooLarge
from appliance.film.manifest import FilmStarted, index_name, segment_name
from appliance.media.apart import Apart
from appliance.notify import Pulse
from appliance.protocol.case_record import CaseRecord
from appliance.protocol.objects import SERVICE_CARD, tombstone_object
from appliance.protocol.orders import Tombstone
from appliance.protocol.permits import recipient_digest
from appliance.protocol.receipts import Receipt, receipt_of
from appliance.protocol.retention import Keep, keep_name
from appliance.protocol.status import EndsSoon, SyncStatus
from appliance.records.audit import Log, check_chain
from appliance.records.files import load_fact, new_id, save, save_fact, to_json
from appliance.records.signing import Signer, sign_fact
from appliance.selftest.kit import wait_for
from appliance.stores.endings import Ending
from appliance.stores.folder import FolderStore
from appliance.stores.store import BLOCK, Entry, Measured, Put, pieces
from appliance.sync.__main__ import (
    COMPARE_SECONDS,
    FIRST_WAIT,
    LONGEST_WAIT,
    REST_SECONDS,
    is_due,
    wait_seconds,
)
from appliance.sync.sender import Manner, Sender
from appliance.vault.cases import OpenCase
from firmware.logs.checkpoints import Checkpoints
from tests.support import films
from tests.support.homes import (
    CLOCK,
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
from tests.support.moments import keep_still


@pytest.fixture
def kit(tmp_path: Path) -> SendingKit:
    new_store(tmp_path / "service")
    return SendingKit(tmp_path / "kit", tmp_path / "service")


def arrived(kit: SendingKit) -> dict[str, bytes]:
    """What lies at the service, but for its own card."""
    found = contents(kit.store)
    found.pop(SERVICE_CARD, None)
    return found


def film_here(kit: SendingKit, case: str, name: str) -> dict[str, bytes]:
    folder = f"cases/{case}/recordings/{name}"
    return {f"{folder}/{file}": data for file, data in contents(kit.home.recording(name)).items()}


def run(kit: SendingKit, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(kit, *options), capture_output=True, text=True, check=False)


def command(kit: SendingKit, *options: str) -> list[str]:
    base = [sys.executable, "-m", "appliance.sync", "--config", str(kit.settings), "--once"]
    return [*base, *options]


class Wrapped(FolderStore):
    """A folder with a fault; `before` is called with each name that is about to be created."""

    def __init__(self, root: Path, before: Callable[[str], None] = lambda name: None) -> None:
        super().__init__(root)
        self.before = before
        self.created: list[str] = []

    def create(self, name: str, source: IO[bytes]) -> Put:
        self.before(name)
        self.created.append(name)
        return super().create(name, source)


class Lying(Wrapped):
    """A store that says yes and keeps something else."""

    def __init__(self, root: Path, lie: Callable[[bytes], bytes | None]) -> None:
        super().__init__(root)
        self.lie = lie

    def open(self, name: str) -> BinaryIO | None:
        file = super().open(name)
        if file is None or name == SERVICE_CARD:
            return file
        with file:
            told = self.lie(file.read())
        return None if told is None else io.BytesIO(told)


# --- What goes ----------------------------------------------------------------------------------


def test_everything_sealed_arrives_byte_for_byte_and_each_has_its_receipt(kit: SendingKit) -> None:
    case = kit.case()
    film = kit.film(case.id)
    status = kit.sync()
    expected = kit.sendable() | film_here(kit, case.id, film)
    assert arrived(kit) == expected
    receipts = kit.receipts()
    assert set(receipts) == set(expected)
    for name, data in expected.items():
        assert receipts[name].size == len(data)
        assert receipts[name].how == "read-back"
        assert receipt_of(kit.home, name) == receipts[name]
    assert (status.state, status.waiting, status.sent) == ("sent", 0, len(expected))
    assert status.sent_bytes == sum(map(len, expected.values()))
    log = check_chain((kit.home.log("sync") / "log").read_bytes())
    assert [e.ids["object"] for e in log if e.event == "confirmed"] == kit_order(kit)


def test_films_from_elsewhere_pictures_and_reviews_go_as_well(kit: SendingKit) -> None:
    case = kit.case()
    film = films.film(60, **films.PLAIN)
    still = keep_still(case, new_id(), film, STARTED)
    review = Review(
        id=new_id(), held=STARTED, shown=(), strengths="", next="", ratings=(), go_on="yes"
    )
    case.write(review, review.id)
    half = case.directory / "imports" / new_id()
    half.mkdir(parents=True)
    (half / segment_name(0)).write_bytes(b"still coming in")
    brought = import_into(case, film)
    kit.sync()
    there, folder = arrived(kit), f"cases/{case.id}"
    assert not [name for name in there if half.name in name], "it is not whole"
    (half / segment_name(0)).unlink()
    assert there == kit.sendable()
    assert {
        f"{folder}/clips/{sealed_file(case, still).name}",
        f"{folder}/documents/review-{review.id}-0001-{kit.id}.age",
        f"{folder}/imports/{brought}/manifest",
        f"{folder}/imports/{brought}/{segment_name(0)}",
        f"{folder}/imports/{brought}/{index_name(0)}",
    } <= set(kit.receipts())


def import_into(case: OpenCase, film: bytes) -> str:
    """Bring a film into a case as the page does; returns its name."""
    name = new_id()
    started = FilmStarted(
        recording=name,
        case=case.id,
        kit=new_id(),
        permit="",
        consent="0" * 64,
        recipient=recipient_digest(case.record.recipient),
        kind="imported",
        limit=60,
        sound=False,
        boot="boot",
        started=STARTED,
    )
    with closing(Original(case.directory)) as original:
        original.write(film)
        import_film(
            original,
            case.directory / "imports" / name,
            started,
            parse_recipient(case.record.recipient),
            practitioner().signer,
            lambda: STARTED,
            Apart(),
        )
    return name


def kit_order(kit: SendingKit) -> list[str]:
    """The names in the order in which they were confirmed."""
    return [r.object for r in sorted(kit.receipts().values(), key=lambda r: r.at)]


def test_nothing_goes_twice(kit: SendingKit) -> None:
    kit.film(kit.case().id)
    kit.sync()
    with_eyes = Wrapped(kit.store)
    assert kit.sync(with_eyes).sent == 0
    assert with_eyes.created == []


def test_case_keys_and_manifests_go_before_films_and_the_older_film_first(kit: SendingKit) -> None:
    case = kit.case().id
    late = kit.film(case, size=10, started=STARTED + timedelta(hours=1))
    early = kit.film(case, size=9000)
    store = Wrapped(kit.store)
    kit.sync(store)
    films = [n.split("/")[3] for n in store.created if n.endswith((".mp4.age", ".index.age"))][1:]
    assert films == [early] * 4 + [late] * 4
    first = ("identity", "team", "manifest")
    order = [n for n in store.created if n.rpartition("/")[2].startswith(first)]
    assert order == store.created[:3] + store.created[4:6]


def test_a_film_that_is_not_finished_waits_and_goes_when_it_is(kit: SendingKit) -> None:
    case = kit.case().id
    film = kit.film(case, ended=False)
    assert kit.sync().state == "sent"
    assert arrived(kit) == kit.sendable()
    kit.home.recording(film).rename(kit.root / "unfinished")
    finished = kit.film(case)
    kit.sync()
    assert arrived(kit) == kit.sendable() | film_here(kit, case, finished)


def test_what_a_power_cut_left_of_a_film_goes_too(kit: SendingKit) -> None:
    case = kit.case().id
    film = kit.film(case, tail=True)
    kit.sync()
    assert arrived(kit) == kit.sendable() | film_here(kit, case, film)
    assert f"cases/{case}/recordings/{film}/0002.mp4.age" in arrived(kit)


def test_what_was_mended_of_a_film_goes_once_its_note_is_there(kit: SendingKit) -> None:
    case = kit.case()
    derived = case.directory / "derived" / new_id()
    derived.mkdir(parents=True)
    prefix = f"cases/{case.id}/derived/{derived.name}/"
    for name in ("0001.mp4.age", "0001.index.age"):
        save(derived / name, VERSION_LINE + name.encode())
    kit.sync()
    assert not [name for name in arrived(kit) if name.startswith(prefix)]
    save(derived / "0001.mended", mended_note(derived.name, 1, kit.signer))
    kit.sync()
    there = {n.removeprefix(prefix): d for n, d in arrived(kit).items() if n.startswith(prefix)}
    assert there == {path.name: path.read_bytes() for path in derived.iterdir()}


def test_a_file_that_no_manifest_names_stays_here(kit: SendingKit) -> None:
    case = kit.case().id
    film = kit.film(case)
    before = film_here(kit, case, film)
    (kit.home.recording(film) / "0007.mp4.age").write_bytes(b"from somewhere")
    kit.sync()
    assert arrived(kit) == kit.sendable() | before


def test_a_film_that_this_kit_did_not_sign_stays_here_and_the_rest_goes(kit: SendingKit) -> None:
    case = kit.case().id
    false = kit.film(case, signer=Signer.generate(f"kit-{kit.id}"))
    true = kit.film(case)
    status = kit.sync()
    assert arrived(kit) == kit.sendable() | film_here(kit, case, true)
    assert status.state == "incomplete"
    assert [(p.object, p.code) for p in status.problems] == [(f"recordings/{false}", "unreadable")]


def test_a_film_under_another_films_name_stays_here(kit: SendingKit) -> None:
    film = kit.film(kit.case().id)
    kit.home.recording(film).rename(kit.home.recording(new_id()))
    assert kit.sync().problems[0].code == "unreadable"
    assert arrived(kit) == kit.sendable()


def test_a_segment_that_the_card_has_altered_stays_here(kit: SendingKit) -> None:
    case = kit.case().id
    film = kit.film(case)
    expected = kit.sendable() | film_here(kit, case, film)
    path = kit.home.recording(film) / "0001.mp4.age"
    data = bytearray(path.read_bytes())
    data[100] ^= 1
    path.write_bytes(data)
    name = f"cases/{case}/recordings/{film}/0001.mp4.age"
    status = kit.sync()
    del expected[name]
    assert arrived(kit) == expected
    assert [(p.object, p.code) for p in status.problems] == [(name, "damaged-here")]
    assert (status.waiting, status.waiting_bytes) == (1, len(data))


def test_a_segment_that_is_gone_from_the_card_is_told(kit: SendingKit) -> None:
    film = kit.film(kit.case().id)
    (kit.home.recording(film) / "0000.index.age").unlink()
    assert [p.code for p in kit.sync().problems] == ["damaged-here"]


# --- The store ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "lie",
    [
        lambda data: data[:-1],
        lambda data: data + b"\0",
        lambda data: bytes([data[0] ^ 1]) + data[1:],
        lambda data: b"",
    ],
    ids=["cut short", "too long", "one bit", "empty"],
)
def test_a_store_that_lies_gets_no_receipt(kit: SendingKit, lie: Callable[[bytes], bytes]) -> None:
    case = kit.case().id
    kit.film(case)
    lying = Lying(kit.store, lie)
    # Its tombstones are lies as well; here it is about what it keeps of ours.
    lying.lie = lambda data: lie(data)
    status = kit.sync(lying)
    assert status.state == "incomplete"
    assert {p.code for p in status.problems} == {"other-content"}
    assert status.waiting == len(status.problems) == len(lying.created)
    assert kit.receipts() == {}
    assert kit.sync().state == "sent"
    assert set(kit.receipts()) == set(arrived(kit))


def test_a_store_that_forgets_at_once_gets_no_receipt(kit: SendingKit) -> None:
    kit.case()
    with pytest.raises(SendInterrupted, match="is not at the service"):
        kit.sync(Lying(kit.store, lambda data: None))
    assert kit.receipts() == {}


def test_an_object_of_another_kit_under_our_name_is_left_alone_and_told(kit: SendingKit) -> None:
    case = kit.case().id
    film = kit.film(case)
    name = f"cases/{case}/recordings/{film}/0000.mp4.age"
    (kit.store / name).parent.mkdir(parents=True)
    (kit.store / name).write_bytes(b"another kit's")
    status = kit.sync()
    assert [(p.object, p.code) for p in status.problems] == [(name, "other-content")]
    assert arrived(kit)[name] == b"another kit's"
    assert set(kit.receipts()) == set(arrived(kit)) - {name}


def test_what_is_there_from_a_lost_answer_is_compared_and_confirmed(kit: SendingKit) -> None:
    kit.film(kit.case().id)
    kit.sync()
    there = arrived(kit)
    for path in kit.home.receipts.rglob("*.json"):
        path.unlink()
    assert kit.sync().sent == len(there)
    assert set(kit.receipts()) == set(there)
    assert arrived(kit) == there


def test_a_receipt_that_cannot_be_read_is_made_again(kit: SendingKit) -> None:
    kit.case()
    kit.sync()
    path = next(kit.home.receipts.rglob("identity-*.json"))
    whole = load_fact(path, Receipt)
    path.write_bytes(b"{")
    assert kit.sync().sent == 1
    again = load_fact(path, Receipt)
    assert whole is not None
    assert again is not None
    assert (again.object, again.sha256) == (whole.object, whole.sha256)


def test_another_store_gets_everything_again(kit: SendingKit, tmp_path: Path) -> None:
    kit.film(kit.case().id)
    kit.sync()
    store = new_store(tmp_path / "new service")
    assert kit.sync(store).state == "sent"
    there = contents(tmp_path / "new service")
    del there[SERVICE_CARD]
    assert there == arrived(kit)


@pytest.mark.parametrize("card", [None, b"", b"{}", "another"])
def test_nothing_goes_to_a_folder_that_is_not_this_services_store(
    kit: SendingKit, card: bytes | str | None
) -> None:
    kit.film(kit.case().id)
    (kit.store / SERVICE_CARD).unlink()
    if card is not None:
        other = to_json(practitioner().card())
        (kit.store / SERVICE_CARD).write_bytes(other if isinstance(card, str) else card)
    with pytest.raises(SendRefused) as refused:
        kit.sync()
    assert refused.value.hint
    assert arrived(kit) == {}


def test_a_kit_that_is_not_set_up_sends_nothing(kit: SendingKit) -> None:
    (kit.home.kit / "enrolled.json").unlink()
    with pytest.raises(SendRefused, match="not set up"):
        kit.sync()
    assert arrived(kit) == {}


# --- Several at once ----------------------------------------------------------------------------


def test_several_at_once_arrive_like_one_after_the_other(kit: SendingKit) -> None:
    case = kit.case().id
    film = kit.film(case, segments=12)
    status = kit.sync(in_flight=4)
    expected = kit.sendable() | film_here(kit, case, film)
    assert arrived(kit) == expected
    assert set(kit.receipts()) == set(expected)
    assert (status.state, status.waiting, status.waiting_bytes) == ("sent", 0, 0)
    check_chain((kit.home.log("sync") / "log").read_bytes())


class InOrder(Wrapped):
    """What began and what was there, one after the other."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.told: list[str] = []

    def create(self, name: str, source: IO[bytes]) -> Put:
        self.told.append(f"begins {name}")
        put = super().create(name, source)
        self.told.append(f"there {name}")
        return put


def with_days_and_heads(kit: SendingKit) -> list[Path]:
    """A kit that has said of some families until when their films are kept, and how far its logs
    had come."""
    paths = []
    for _ in range(4):
        case = kit.case()
        keep = Keep(case=case.id, kit=kit.id, number=1, until=None, at=CLOCK.read().wall)
        paths.append(case.directory / keep_name(1, kit.id))
        save(paths[-1], sign_fact(practitioner().signer, keep).encode())
    Log(kit.home.log("web"), CLOCK).write("unlocked")
    Checkpoints(kit.home, kit.signer, CLOCK).sign()
    return paths


@pytest.mark.parametrize("in_flight", [1, 4])
def test_who_has_heard_of_a_kit_has_all_that_it_says_of_the_days(
    kit: SendingKit, in_flight: int
) -> None:
    with_days_and_heads(kit)
    store = InOrder(kit.store)
    assert kit.sync(store, in_flight=in_flight).state == "sent"
    said = [at for at, told in enumerate(store.told) if "there" in told and "/keep-" in told]
    heard = [at for at, told in enumerate(store.told) if "begins" in told and "/heads/" in told]
    assert len(said) == 4 and heard and max(said) < min(heard)


@pytest.mark.parametrize("in_flight", [1, 4])
def test_a_kit_that_cannot_say_what_it_knows_of_the_days_is_not_heard_of(
    kit: SendingKit, in_flight: int
) -> None:
    damaged, *_ = with_days_and_heads(kit)
    whole = damaged.read_bytes()
    damaged.chmod(0o600)
    damaged.write_bytes(b"rubbish")
    assert kit.sync(in_flight=in_flight).state == "incomplete"
    assert not [name for name in arrived(kit) if "/heads/" in name]
    damaged.write_bytes(whole)
    assert kit.sync(in_flight=in_flight).state == "sent"
    assert [name for name in arrived(kit) if "/heads/" in name]


class Counting(Wrapped):
    """How many were on their way at once, and how large they were together."""

    def __init__(self, root: Path, at_once: int) -> None:
        super().__init__(root)
        self._together = threading.Barrier(at_once)
        self._lock = threading.Lock()
        self.now = self.most = 0

    def create(self, name: str, source: IO[bytes]) -> Put:
        with self._lock:
            self.now += 1
            self.most = max(self.most, self.now)
        if "/recordings/" in name and name.endswith(".mp4.age"):
            self._together.wait(20)
        put = super().create(name, source)
        with self._lock:
            self.now -= 1
        return put


def test_as_many_as_are_set_are_on_their_way_and_no_more(kit: SendingKit) -> None:
    kit.film(kit.case().id, segments=12)
    store = Counting(kit.store, at_once=3)
    assert kit.sync(store, in_flight=3).state == "sent"
    assert store.most == 3


def test_a_failure_in_the_midst_ends_it_and_what_had_arrived_counts(kit: SendingKit) -> None:
    case = kit.case().id
    film = kit.film(case, segments=12)

    def fail(name: str) -> None:
        if name.endswith("0005.mp4.age"):
            raise SendInterrupted("The line is gone.")

    with pytest.raises(SendInterrupted, match="line is gone"):
        kit.sync(Wrapped(kit.store, fail), in_flight=4)
    assert set(kit.receipts()) == set(arrived(kit))
    assert kit.sync(in_flight=4).state == "sent"
    assert arrived(kit) == kit.sendable() | film_here(kit, case, film)


def test_what_waits_is_told_without_reaching_for_a_network(kit: SendingKit) -> None:
    kit.film(kit.case().id)
    sent = kit.sync().sent
    late = kit.film(kit.case().id)
    status = kit.sender().waits(kit.store.as_uri(), "not-at-base")
    assert (status.state, status.error, status.sent) == ("waiting", "not-at-base", 0)
    assert 0 < status.waiting < sent
    assert late not in "".join(arrived(kit))


# --- What the store has lost ----------------------------------------------------------------------


def compared(kit: SendingKit) -> SyncStatus:
    """The first contact of a kit that was switched on."""
    return kit.sender().run(compare=True)


def test_what_the_store_has_lost_goes_once_more(kit: SendingKit) -> None:
    case = kit.case().id
    film = kit.film(case)
    kit.sync()
    before = arrived(kit)
    lost = [f"cases/{case}/identity-0001.age", f"cases/{case}/recordings/{film}/0000.mp4.age"]
    cut = f"cases/{case}/recordings/{film}/manifest"
    for name in lost:
        (kit.store / name).unlink()
    # A receipt alone would say for ever that all is there.
    assert (kit.sync().sent, set(before) - set(arrived(kit))) == (0, set(lost))
    assert compared(kit).sent == len(lost)
    assert arrived(kit) == before
    log = check_chain((kit.home.log("sync") / "log").read_bytes())
    assert sorted(e.ids["object"] for e in log if e.event == "lost-there") == lost
    # What is another now is told, and nothing there is written over.
    (kit.store / cut).chmod(0o600)
    (kit.store / cut).write_bytes(b"cut short")
    status = compared(kit)
    assert [(p.object, p.code) for p in status.problems] == [(cut, "other-content")]


def test_a_kit_that_is_switched_on_sees_what_the_store_has_lost(kit: SendingKit) -> None:
    case = kit.case().id
    kit.sync()
    lost = kit.store / "cases" / case / "identity-0001.age"
    lost.unlink()
    with subprocess.Popen(command(kit)[:-1], stderr=subprocess.DEVNULL) as running:
        try:
            wait_for("what was lost to come back", lost.exists, 60)
        finally:
            running.kill()


def test_a_listing_confirms_nothing(kit: SendingKit) -> None:
    kit.film(kit.case().id)
    kit.sync()
    for receipt in kit.home.receipts.rglob("*.json"):
        receipt.unlink()
    store = Wrapped(kit.store)
    assert kit.sender(store).run(compare=True).sent == len(kit.receipts())
    assert set(kit.receipts()) == set(arrived(kit)) == set(store.created)


def test_a_store_that_lists_nothing_to_a_kit_disproves_nothing(kit: SendingKit) -> None:
    class Closed(FolderStore):
        def list(self, prefix: str) -> Iterator[Entry]:
            raise NotLetIn("Kits may not list here.")

    kit.case()
    kit.sync()
    assert kit.sender(Closed(kit.store)).run(compare=True).sent == 0
    assert set(kit.receipts()) == set(arrived(kit))


def test_what_was_removed_at_the_store_on_purpose_is_not_taken_for_lost(kit: SendingKit) -> None:
    case, other = kit.case().id, kit.case().id
    film = kit.film(case)
    kit.sync()
    withdraw_at_service(FolderStore(kit.store), other)
    with desk(FolderStore(kit.store)) as at_work:
        at_work.withdraw_film(kit.id, case, film)
    served(FolderStore(kit.store))
    # Nobody has unlocked the kit since: all of it still lies here.
    for _again in range(2):
        compared(kit)
        assert not [name for name in arrived(kit) if film in name]
        assert f"cases/{other}/identity-0001.age" not in arrived(kit)


# --- Withdrawals --------------------------------------------------------------------------------


def test_of_a_withdrawn_case_only_its_order_goes(kit: SendingKit) -> None:
    case = kit.case()
    kit.film(case.id)
    order = kit.withdraw(case.id)
    kit.sync()
    assert set(arrived(kit)) == {f"kits/{kit.id}/card.json", f"orders/{order}"}
    note = (kit.home.case(case.id) / "withdrawal").read_bytes()
    assert arrived(kit)[f"orders/{order}"] == note


def test_a_film_of_a_case_that_is_closed_without_its_order_stays_here(kit: SendingKit) -> None:
    case = kit.case()
    kit.film(case.id)
    (kit.home.case(case.id) / "identity-0001.age").unlink()
    save_fact(
        kit.home.case(case.id) / "case.json",
        CaseRecord(id=case.id, recipient=case.record.recipient, state="withdrawn"),
    )
    assert kit.sync().state == "sent"
    assert set(arrived(kit)) == {f"kits/{kit.id}/card.json"}


def test_a_withdrawal_in_the_middle_stops_what_had_not_gone_and_goes_itself(
    kit: SendingKit,
) -> None:
    case = kit.case()
    film = kit.film(case.id)
    (people,) = (path.name for path in case.directory.glob("team-*"))
    orders: list[str] = []

    def withdraw(name: str) -> None:
        if name.endswith("manifest"):
            orders.append(kit.withdraw(case.id))

    kit.sync(Wrapped(kit.store, withdraw))
    assert set(arrived(kit)) == {
        f"kits/{kit.id}/card.json",
        f"cases/{case.id}/identity-0001.age",
        f"cases/{case.id}/{people}",
        f"cases/{case.id}/documents/team-0001-{kit.id}.age",
        f"cases/{case.id}/recordings/{film}/manifest",
        f"orders/{orders[0]}",
    }
    served(FolderStore(kit.store))
    assert not any("identity" in name for name in arrived(kit))


def test_the_services_answer_comes_back_and_is_not_asked_for_again(kit: SendingKit) -> None:
    case = kit.case()
    kit.sync()
    order = kit.withdraw(case.id)
    kit.sync()
    assert not (kit.home.inbox / order).exists()
    served(FolderStore(kit.store))
    kit.sync()
    answer = (kit.home.inbox / order).read_bytes()
    assert answer == (kit.store / tombstone_object(case.id)).read_bytes()
    (kit.store / tombstone_object(case.id)).write_text("no answer any more")
    assert kit.sync().state == "sent"
    assert (kit.home.inbox / order).read_bytes() == answer


def test_a_case_that_was_withdrawn_elsewhere_sends_nothing_and_the_page_is_told(
    kit: SendingKit,
) -> None:
    closed, still_open = kit.case(), kit.case()
    kit.film(closed.id)
    tombstone = Tombstone(order=new_id(), case=closed.id, at=STARTED, removed=())
    note = service().signer.sign(to_json(tombstone).decode() + "\n")
    (kit.store / "tombstones").mkdir()
    (kit.store / tombstone_object(closed.id)).write_text(note)
    status = kit.sync()
    assert status.withdrawn_elsewhere == (closed.id,)
    assert status.state == "sent"
    assert (kit.home.inbox / tombstone.order).read_text() == note
    assert not any(name.startswith(f"cases/{closed.id}") for name in arrived(kit))
    assert f"cases/{still_open.id}/identity-0001.age" in arrived(kit)


@pytest.mark.parametrize(
    "fault", ["another signer", "altered", "another case", "one film", "no note", "order"]
)
def test_a_false_tombstone_closes_nothing_here_and_nothing_of_its_case_goes(
    kit: SendingKit, fault: str
) -> None:
    case = kit.case().id
    about = new_id() if fault == "another case" else case
    order = "../../kit/enrolled.json" if fault == "order" else new_id()
    whole = fault != "one film"
    tombstone = Tombstone(order=order, case=about, at=STARTED, removed=(), whole=whole)
    signer = practitioner().signer if fault == "another signer" else service().signer
    note = signer.sign(to_json(tombstone).decode() + "\n")
    if fault == "altered":
        note = note.replace("2026", "2027")
    (kit.store / "tombstones").mkdir()
    path = kit.store / tombstone_object(case)
    path.write_bytes(b"\xff\xfe" if fault == "no note" else note.encode())
    before = contents(kit.home.kit)
    status = kit.sync()
    assert [(p.object, p.code) for p in status.problems] == [
        (tombstone_object(case), "false-tombstone")
    ]
    assert not any(name.startswith("cases/") for name in arrived(kit))
    assert contents(kit.home.inbox) == {}
    assert contents(kit.home.kit) == before


def test_an_order_that_cannot_be_read_holds_its_case_and_no_other(kit: SendingKit) -> None:
    case, other = kit.case(), kit.case()
    (kit.home.case(case.id) / "withdrawal").write_text("{}")
    status = kit.sync()
    assert [p.object for p in status.problems] == [f"cases/{case.id}"]
    assert not any(name.startswith(f"cases/{case.id}") for name in arrived(kit))
    assert f"cases/{other.id}/identity-0001.age" in arrived(kit)


# --- The program --------------------------------------------------------------------------------


def test_the_program_sends_says_so_and_leaves_its_status(kit: SendingKit) -> None:
    kit.film(kit.case().id)
    done = run(kit, "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["state"], told["sent"]) == ("sent", len(arrived(kit)))
    status = load_fact(kit.home.status("sync"), SyncStatus)
    assert status is not None
    assert to_json(status) == done.stdout.strip().encode()
    again = run(kit)
    assert (again.returncode, again.stdout) == (
        0,
        "Sent and confirmed: 0 (0.0 MB); nothing is waiting.\n",
    )


def test_a_missing_folder_is_told_in_words_and_never_made(kit: SendingKit) -> None:
    kit.case()
    kit.store.rename(kit.root / "unplugged")
    done = run(kit)
    assert done.returncode == 1
    assert "is not there" in done.stderr
    assert "Traceback" not in done.stderr
    assert not kit.store.exists()
    status = load_fact(kit.home.status("sync"), SyncStatus)
    assert status is not None
    assert (status.state, status.error) == ("refused", "store-missing")
    # What waits is told, although nobody was let in.
    waiting = len(kit.sendable())
    assert status.waiting == waiting and f"{waiting} wait here" in done.stdout


def test_what_ends_soon_is_told_on_the_status_of_a_contact(kit: SendingKit) -> None:
    now = CLOCK.read().wall
    token = Ending(now + timedelta(days=3), "credential")

    class Ends(FolderStore):
        ends = (token, Ending(now + timedelta(days=900), "pin"))

    status = kit.sender(Ends(kit.store)).run()
    assert status.ends == (EndsSoon(what="credential", at=token.at),)
    assert kit.sync().ends == ()


def test_a_file_that_is_too_large_for_the_store_keeps_none_of_the_others(kit: SendingKit) -> None:
    film = kit.film(kit.case().id, segments=2)

    class Small(FolderStore):
        def create(self, name: str, source: IO[bytes]) -> Put:
            if name.endswith("0000.mp4.age"):
                raise TooLarge("The store does not take a file as large.")
            return super().create(name, source)

    status = kit.sender(Small(kit.store)).run()
    assert [(p.object.endswith("0000.mp4.age"), p.code) for p in status.problems] == [
        (True, "too-large")
    ]
    assert any(name.endswith(f"{film}/0001.mp4.age") for name in arrived(kit))


def test_after_a_round_that_was_refused_nobody_says_that_nothing_is_waiting(
    kit: SendingKit,
) -> None:
    kit.sync()
    kit.store.rename(kit.root / "unplugged")
    done = run(kit)
    assert done.returncode == 1
    assert "nothing is waiting" not in done.stdout


def test_a_problem_is_told_in_words_and_the_status_is_1(kit: SendingKit) -> None:
    film = kit.film(kit.case().id)
    (kit.home.recording(film) / "0000.mp4.age").write_bytes(b"x")
    done = run(kit)
    assert done.returncode == 1
    assert "0000.mp4.age: The memory card has changed this file" in done.stderr
    assert "1 wait here" in done.stdout


def test_settings_that_are_wrong_are_told_in_words(kit: SendingKit) -> None:
    kit.settings.write_text('sto = "file:///x"\n')
    done = run(kit)
    assert done.returncode == 1
    assert "sto" in done.stderr
    assert "Traceback" not in done.stderr
    assert run(kit, "--sideways").returncode == 2


def test_two_senders_on_one_home_are_refused(kit: SendingKit) -> None:
    with kit.home.claim("sync"):
        done = run(kit)
    assert done.returncode == 1
    assert "already running" in done.stderr


def test_what_this_kits_own_card_refuses_is_told_in_words(kit: SendingKit) -> None:
    kit.case()
    (kit.home.receipts / "cases").parent.mkdir()
    (kit.home.receipts / "cases").write_text("not a folder")
    done = run(kit)
    assert done.returncode == 1
    assert "The memory card in this kit" in done.stderr
    assert "Traceback" not in done.stderr
    assert kit.receipts() == {}


def test_a_kit_looks_at_its_start_and_every_week_whether_the_store_has_it_all() -> None:
    assert is_due(float("-inf"), 5.0)
    assert not is_due(5.0, 5.0 + COMPARE_SECONDS - 1)
    assert is_due(5.0, 5.0 + COMPARE_SECONDS)


def test_after_a_failure_the_rests_grow_to_a_limit_and_differ_from_kit_to_kit() -> None:
    assert wait_seconds(0, 0.3) == REST_SECONDS
    longest = [wait_seconds(failures, 1.0) for failures in range(1, 30)]
    assert longest[0] == FIRST_WAIT
    assert longest == sorted(longest)
    assert longest[-1] == LONGEST_WAIT
    assert wait_seconds(4, 0.0) == wait_seconds(4, 1.0) / 2


def test_ended_says_whether_to_try_again(kit: SendingKit) -> None:
    sender = kit.sender()
    errors: list[tuple[KitError, str]] = [
        (SendInterrupted("x"), "interrupted"),
        (SendRefused("x"), "refused"),
    ]
    for error, state in errors:
        status = sender.ended(error, kit.store.as_uri())
        assert (status.state, status.error) == (state, error.code)
        assert kit.shown[-1] == status


@pytest.mark.slow
def test_killed_at_random_moments_and_run_again_everything_is_there_exactly_once(
    kit: SendingKit,
) -> None:
    cases = [kit.case().id for _ in range(2)]
    films = [(case, kit.film(case, segments=15, size=300_000)) for case in cases for _ in range(2)]
    expected = kit.sendable()
    for case, film in films:
        expected |= film_here(kit, case, film)
    chance = random.Random(20261121)
    confirmed = 0
    for _ in range(12):
        process = subprocess.Popen(
            command(kit), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        confirmed += chance.randrange(1, 6)
        while len(list(kit.home.receipts.rglob("*.json"))) < confirmed:
            time.sleep(0.001)
        time.sleep(chance.uniform(0, 0.02))
        assert process.poll() is None
        process.send_signal(signal.SIGKILL)
        process.wait()
        # Whatever has a receipt by now is there, whole.
        receipts = kit.receipts()
        confirmed = len(receipts)
        for name, receipt in receipts.items():
            assert receipt.size == len((kit.store / name).read_bytes())
    assert confirmed < len(expected)
    done = run(kit)
    assert done.returncode == 0, done.stderr
    assert arrived(kit) == expected
    assert set(kit.receipts()) == set(expected)
    check_chain((kit.home.log("sync") / "log").read_bytes())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_asked_to_stop_it_says_so_and_leaves_nothing_half_sent(
    kit: SendingKit, number: signal.Signals
) -> None:
    case = kit.case().id
    large = f"{new_id()}.mp4.age"
    save(kit.home.case(case) / "clips" / large, VERSION_LINE + bytes(192 << 20))
    process = subprocess.Popen(command(kit), stderr=subprocess.PIPE, text=True)
    # It is in the midst of a large file when it is asked to stop, and stands still until it is.
    while not any(kit.store.rglob(f".{large}.*.unfinished")):
        assert process.poll() is None
    process.send_signal(signal.SIGSTOP)
    assert any(kit.store.rglob(f".{large}.*.unfinished"))
    process.send_signal(number)
    process.send_signal(signal.SIGCONT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "stopped" in said
    assert "Traceback" not in said
    assert not [name for name in arrived(kit) if "unfinished" in name]


def test_a_kit_that_is_carried_away_from_base_sends_no_more(kit: SendingKit) -> None:
    case = kit.case().id
    kit.film(case)
    asked = 0

    def still() -> bool:
        nonlocal asked
        asked += 1
        return asked <= 2

    store = Wrapped(kit.store)
    log = Log(kit.home.log("sync"), CLOCK)
    kit.home.prepare(kit.home.receipts, kit.home.inbox)
    sender = Sender(kit.home, lambda: store, CLOCK, log, kit.shown.append, Manner(still=still))
    with pytest.raises(SendInterrupted):
        sender.run()
    assert len(store.created) == 2
    kit.sync()
    assert (
        film_here(kit, case, next(kit.home.recordings.iterdir()).name).items()
        <= arrived(kit).items()
    )


def test_a_network_that_comes_is_noticed_at_once_and_not_after_the_wait(kit: SendingKit) -> None:
    kit.film(kit.case().id)
    away = kit.store.with_name("away")
    kit.store.rename(away)
    with subprocess.Popen(command(kit)[:-1], stderr=subprocess.PIPE, text=True) as running:
        try:
            assert running.stderr
            running.stderr.readline()  # It has failed, and rests.
            away.rename(kit.store)
            began = time.monotonic()
            while not kit.receipts() and time.monotonic() - began < 60:
                running.send_signal(signal.SIGHUP)
                time.sleep(0.05)
            # Else it rests for half of that at least.
            assert time.monotonic() - began < FIRST_WAIT / 2
        finally:
            running.kill()


def test_when_the_service_last_confirmed_is_known_after_a_run_that_sent_nothing(
    kit: SendingKit,
) -> None:
    kit.film(kit.case().id)

    def ended(sent: bool) -> SyncStatus | None:
        status = load_fact(kit.home.status("sync"), SyncStatus)
        return status if status and status.state == "sent" and bool(status.sent) == sent else None

    with subprocess.Popen(command(kit)[:-1], stderr=subprocess.DEVNULL) as running:
        try:
            first = wait_for("a run that sends", lambda: ended(True), 60)
            os.utime(kit.home.kit)  # As when something new lies there.
            running.send_signal(signal.SIGHUP)
            second = wait_for("a run that sends nothing", lambda: ended(False), 60)
            assert first.last_confirmed and second.last_confirmed == first.last_confirmed
        finally:
            running.kill()


# --- The watchdog ---------------------------------------------------------------------------------


class Systemd:
    """The socket on which systemd is told how a process is."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.wire = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.wire.bind(str(path))
        self.wire.settimeout(60)

    def told(self) -> str:
        return self.wire.recv(200).decode()


def test_systemd_is_told_that_the_sender_is_ready_and_that_it_goes_round(
    kit: SendingKit, tmp_path: Path
) -> None:
    kit.case()
    systemd = Systemd(tmp_path / "notify")
    environment = {**os.environ, "NOTIFY_SOCKET": str(systemd.path), "WATCHDOG_USEC": "600000000"}
    with closing(systemd.wire), subprocess.Popen(command(kit)[:-1], env=environment) as running:
        try:
            assert systemd.told() == "READY=1"
            assert systemd.told() == "WATCHDOG=1"
            # Each network that comes is one more round.
            wait_for("receipts", lambda: kit.receipts() or None, 60)
            running.send_signal(signal.SIGHUP)
            assert systemd.told() == "WATCHDOG=1"
        finally:
            running.kill()


def test_a_sender_that_is_held_up_says_nothing_more(kit: SendingKit, tmp_path: Path) -> None:
    """The store stands still: systemd ends it when its time is over."""
    kit.case()
    pulses: list[float] = []
    stands, go_on = threading.Event(), threading.Event()

    def before(name: str) -> None:
        stands.set()
        assert go_on.wait(60)

    store = Wrapped(kit.store, before)
    log = Log(kit.home.log("sync"), CLOCK)
    kit.home.prepare(kit.home.receipts, kit.home.inbox)
    sender = Sender(
        kit.home,
        lambda: store,
        CLOCK,
        log,
        kit.shown.append,
        Manner(alive=lambda quiet=0.0: pulses.append(quiet)),
    )
    thread = threading.Thread(target=sender.run)
    thread.start()
    assert stands.wait(60)
    heard = len(pulses)
    # The store was given a time in which it must have answered, and that is all.
    assert max(pulses) < 600
    go_on.set()
    thread.join(60)
    assert len(pulses) > heard


def test_a_large_film_on_a_slow_line_is_a_pulse_with_each_block(kit: SendingKit) -> None:
    path = kit.root / "large.age"
    path.write_bytes(VERSION_LINE + bytes(4 << 20))
    pulses: list[float] = []
    with Measured(path, VERSION_LINE, lambda: pulses.append(0)) as source:
        measured = len(pulses)
        assert measured >= 4 * 8
        for sent, _block in enumerate(pieces(source, BLOCK), start=1):
            assert len(pulses) >= measured + sent


def test_the_watchdog_waits_as_long_as_a_file_may_take_that_goes_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    systemd = Systemd(tmp_path / "notify")
    with closing(systemd.wire):
        monkeypatch.setenv("NOTIFY_SOCKET", str(systemd.path))
        monkeypatch.setenv("WATCHDOG_USEC", "600000000")
        now = 0.0
        pulse = Pulse(lambda: now)
        pulse(500)
        assert systemd.told() == "WATCHDOG=1"
        pulse()  # Within the same second nothing is said twice.
        pulse(7200)
        assert systemd.told() == "WATCHDOG_USEC=7200000000\nWATCHDOG=1"
        now = 1.0
        pulse(900)
        assert systemd.told() == "WATCHDOG=1"
