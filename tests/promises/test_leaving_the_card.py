"""What takes a film off its card: the button, an order that takes it back, a factory reset. Nothing
else does: no other word of the service or of a practitioner, no receipt, no full card.

The whole recorder but for its lens and its lamp, on a clock that moves when told.
"""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from appliance.protocol.objects import film_object
from appliance.protocol.orders import FilmWithdrawal, ServiceOrder, Tombstone, Withdrawal
from appliance.protocol.receipts import Receipt, receipt_path
from appliance.protocol.requests import Remove
from appliance.protocol.status import State
from appliance.records.files import Fact, new_id, save, save_fact
from appliance.records.signing import sign_fact
from tests.support.clocks import NOON
from tests.support.fakes import PRACTITIONER, SERVICE, Stage
from tests.support.texts import facts, kinds

ORDERS = (Withdrawal, FilmWithdrawal, ServiceOrder, Tombstone)
"""What takes a film back."""
_STORE = "sftp://store.example/attune"


@pytest.fixture
def kit(tmp_path: Path) -> Iterator[Stage]:
    kit = Stage(tmp_path)
    kit.home.prepare(kit.home.inbox)
    yield kit
    kit.close()


def make_film(kit: Stage) -> str:
    kit.arm()
    kit.press()
    kit.advance(2)
    kit.press()
    kit.settle()
    kit.clock.advance(180)  # Nobody holds the button any more.
    return kit.status.recording


def on_card(kit: Stage, film: str) -> dict[str, str]:
    """Every file of a film, with the digest of what it holds."""
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in kit.home.recording(film).iterdir()
    }


def confirm(kit: Stage, film: str) -> None:
    """A receipt for each of its files."""
    for path in kit.home.recording(film).iterdir():
        name = film_object(kit.case, film, path.name)
        data = path.read_bytes()
        receipt = Receipt(
            object=name,
            size=len(data),
            sha256=hashlib.sha256(data).hexdigest(),
            store=_STORE,
            at=NOON,
            how="read-back",
        )
        where = receipt_path(kit.home, name)
        where.parent.mkdir(parents=True, exist_ok=True)
        save_fact(where, receipt)


def bring(kit: Stage, note: str) -> None:
    """Put a note wherever the page or sync may, and ask for it to be carried out."""
    case = kit.home.case(kit.case)
    for folder in (case.film_orders, case.lifted):
        folder.mkdir(exist_ok=True)
    places = [
        kit.home.inbox / "order-000001",
        kit.home.inbox / "audit",
        kit.home.inbox / new_id(),
        case.withdrawal,
        case.withdrawn_there,
        case.film_orders / new_id(),
        case.lifted / "0123456789abcdef-lifted",
    ]
    for path in places:
        save(path, note.encode())
    now = kit.clock.read()
    kit.ask(Remove(id=new_id(), boot=now.boot, boottime=now.boottime, note=note))
    for path in places:
        path.unlink()


def about(fact: Fact, kit: Stage, film: str) -> Fact:
    """The same of this kit, this case and this film, wherever it names any."""
    true = {"case": kit.case, "kit": kit.books.kit, "film": film, "recording": film}
    fields = fact.__struct_fields__
    named = {
        name: value
        for name, value in true.items()
        if name in fields and isinstance(getattr(fact, name), str)
    }
    return msgspec.structs.replace(fact, **named)


def test_no_other_word_takes_a_film_off_the_card(kit: Stage) -> None:
    """Every kind of record that there is, signed by a practitioner of the case and by the service:
    also one that is added is tried by itself."""
    film = make_film(kit)
    confirm(kit, film)
    before = on_card(kit, film)
    others = [kind for kind in kinds() if kind not in ORDERS and kind.__struct_config__.tag]
    assert len(others) > 60

    def tried(kind: type[Fact]) -> None:
        @settings(
            max_examples=1,
            phases=[Phase.generate],
            deadline=None,
            suppress_health_check=list(HealthCheck),
        )
        @given(facts(kind, st.just("a")))
        def said(fact: Fact) -> None:
            for keys in (PRACTITIONER, SERVICE):
                bring(kit, sign_fact(keys.signer, about(fact, kit, film)))
                assert on_card(kit, film) == before

        said()

    for kind in others:
        tried(kind)
    # An order that takes it back, in the same places, does.
    order = FilmWithdrawal(
        id=new_id(), case=kit.case, kit=kit.books.kit, film=film, clips=(), at=NOON
    )
    bring(kit, sign_fact(PRACTITIONER.signer, order))
    assert not kit.home.recording(film).exists()


def test_a_film_that_was_sent_stays_though_the_card_is_full(kit: Stage) -> None:
    film = make_film(kit)
    confirm(kit, film)
    before = on_card(kit, film)
    kit.space.reserve = lambda seconds: False  # type: ignore[method-assign]
    kit.arm()
    kit.press()
    assert kit.state is State.REFUSED and not kit.camera.open
    kit.clock.advance(8 * 24 * 3600)
    kit.advance(1)
    assert on_card(kit, film) == before
    assert "film-removed" not in kit.events()
