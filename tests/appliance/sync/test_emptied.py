"""A film that has left the card: nothing of it goes, nothing is lost, and a loss at the store is
told in words."""

import shutil
from datetime import timedelta
from pathlib import Path

import pytest

from appliance.factory_reset import unsent
from appliance.protocol.emptying import FILMS_READ, FilmsRead, films_read_object
from appliance.protocol.orders import FilmWithdrawal
from appliance.protocol.status import SyncStatus
from appliance.records.audit import check_chain
from appliance.records.files import new_id, save
from appliance.records.signing import Signer, sign_fact
from appliance.stores.folder import FolderStore
from tests.support.emptying import emptied
from tests.support.homes import (
    STARTED,
    SendingKit,
    contents,
    new_store,
    practitioner,
    served,
    service,
)


@pytest.fixture
def kit(tmp_path: Path) -> SendingKit:
    new_store(tmp_path / "service")
    return SendingKit(tmp_path / "kit", tmp_path / "service")


@pytest.fixture
def film(kit: SendingKit) -> str:
    """A film that was sent and has left the card."""
    film = kit.film(kit.case().id)
    assert kit.sync().state == "sent"
    emptied(kit.home, kit.signer, case_of(kit), film)
    return film


def case_of(kit: SendingKit) -> str:
    (case,) = (path.name for path in kit.home.cases.iterdir())
    return case


def compared(kit: SendingKit) -> SyncStatus:
    return kit.sender().run(compare=True)


def there(kit: SendingKit, film: str, file: str) -> Path:
    return kit.store / "cases" / case_of(kit) / "recordings" / film / file


def test_nothing_of_it_is_sent_or_lost(kit: SendingKit, film: str) -> None:
    receipts, store = kit.receipts(), contents(kit.store)
    for status in (kit.sync(), compared(kit)):
        assert (status.state, status.sent, status.waiting, status.problems) == ("sent", 0, 0, ())
    assert kit.receipts() == receipts and contents(kit.store) == store
    assert not list(unsent(kit.home)), "a kit that is set back has nothing left to send"


def test_what_the_store_loses_of_it_is_told_until_it_is_there_again(
    kit: SendingKit, film: str
) -> None:
    path = there(kit, film, "0001.mp4.age")
    aside = path.rename(kit.root / "aside")
    status = compared(kit)
    ((problem),) = status.problems
    assert (problem.object, problem.code) == (
        f"cases/{case_of(kit)}/recordings/{film}",
        "emptied-lost",
    )
    assert "lost" in problem.sentence and status.state == "incomplete" and status.waiting == 0
    log = check_chain((kit.home.log("sync") / "log").read_bytes())
    assert [e.ids["object"] for e in log if e.event == "lost-there"] == [
        path.relative_to(kit.store).as_posix()
    ]
    assert kit.sync().problems == status.problems
    assert list(unsent(kit.home)), "what is lost there keeps the kit from being set back"
    # Something else under its name is no film.
    path.write_bytes(b"x" * aside.stat().st_size)
    assert kit.sync().problems == status.problems
    path.unlink()
    aside.rename(path)
    status = kit.sync()
    assert (status.state, status.sent, status.problems) == ("sent", 1, ())
    assert not list(unsent(kit.home))


def test_where_no_receipt_counts_any_more_it_is_read_back_whole(kit: SendingKit, film: str) -> None:
    before = kit.receipts()
    shutil.rmtree(kit.home.receipts)
    assert kit.sync().state == "sent"
    assert {name: r.sha256 for name, r in kit.receipts().items()} == {
        name: r.sha256 for name, r in before.items()
    }
    assert not any(path.suffix == ".age" for path in kit.home.recording(film).iterdir())


def test_a_film_that_is_taken_back_afterwards_reaches_the_copy_at_the_store(
    kit: SendingKit, film: str
) -> None:
    order = FilmWithdrawal(
        id=new_id(), case=case_of(kit), kit=kit.id, film=film, clips=(), at=STARTED
    )
    folder = kit.home.case(case_of(kit)).film_orders
    folder.mkdir(exist_ok=True)
    save(folder / film, sign_fact(practitioner().signer, order).encode())
    assert kit.sync().state == "sent"
    served(FolderStore(kit.store))
    assert not there(kit, film, "manifest").parent.exists()
    assert (compared(kit).state, compared(kit).problems) == ("sent", ())


def test_a_withdrawn_case_has_lost_nothing(kit: SendingKit, film: str) -> None:
    kit.withdraw(case_of(kit))
    kit.sync()
    served(FolderStore(kit.store))
    shutil.rmtree(there(kit, film, "manifest").parent)
    assert compared(kit).problems == ()


def test_a_file_that_is_lost_is_not_ordered_to_be_removed_there(kit: SendingKit, film: str) -> None:
    compared(kit)
    assert not list((kit.store / "orders").glob("*")) and not list(
        (kit.home.case(case_of(kit)).film_orders).glob("*")
    )


# --- The service's word on what it read ---------------------------------------------------------


def said(kit: SendingKit, signer: Signer, minutes: int = 0, of: str = "") -> bytes:
    at = STARTED + timedelta(minutes=minutes)
    return sign_fact(signer, FilmsRead(kit=of or kit.id, at=at, films={})).encode()


def brought(kit: SendingKit, note: bytes, emptying: bool = True) -> bytes | None:
    """What is in the inbox after a contact with a store that holds this."""
    path = kit.store / films_read_object(kit.id)
    path.unlink(missing_ok=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(note)
    kit.sender(emptying=emptying).run()
    here = kit.home.inbox / FILMS_READ
    return here.read_bytes() if here.exists() else None


def test_only_the_services_newest_word_for_this_kit_comes_in(kit: SendingKit) -> None:
    own = service().signer
    kit.case()
    assert brought(kit, said(kit, own), emptying=False) is None, "it is off"
    assert brought(kit, said(kit, practitioner().signer)) is None
    assert brought(kit, said(kit, own, of=new_id())) is None
    first = said(kit, own)
    assert brought(kit, first) == first
    newer = said(kit, own, minutes=5)
    assert brought(kit, newer) == newer
    # A store that came back from an older copy.
    assert brought(kit, first) == newer
    assert brought(kit, b"rubbish") == newer
