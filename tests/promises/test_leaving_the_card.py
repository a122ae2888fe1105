"""What takes a film off its card: the button, an order that takes it back, a factory reset. Nothing
else does: no other word of the service or of a practitioner, no receipt, no full card.

The whole recorder but for its lens and its lamp, on a clock that moves when told.
"""

import hashlib
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from appliance.base.orders import make_new
from appliance.casework.closing import withdraw
from appliance.casework.emptying import order_to_empty
from appliance.casework.reviews import Review
from appliance.errors import BadInput
from appliance.protocol.orders import FilmWithdrawal, ServiceOrder, Tombstone, Withdrawal
from appliance.protocol.requests import Remove, place_request
from appliance.protocol.status import State, SyncStatus
from appliance.records.audit import Log
from appliance.records.clock import SystemClock
from appliance.records.files import Fact, new_id, save, to_json
from appliance.records.signing import Verifier, sign_fact
from appliance.selftest.visit import Visit
from appliance.stores.folder import FolderStore
from appliance.sync.sender import Manner, Sender
from appliance.verifying import Folder, verify
from tests.support.clocks import NOON
from tests.support.emptying import confirm, make_film, on_card
from tests.support.fakes import PRACTITIONER, SERVICE, Stage
from tests.support.texts import facts, kinds

ORDERS = (Withdrawal, FilmWithdrawal, ServiceOrder, Tombstone)
"""What takes a film back."""


@pytest.fixture
def kit(tmp_path: Path) -> Iterator[Stage]:
    kit = Stage(tmp_path)
    kit.home.prepare(kit.home.inbox)
    yield kit
    kit.close()


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
    confirm(kit.home, kit.case, film)
    before = on_card(kit.home, film)
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
                assert on_card(kit.home, film) == before

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
    confirm(kit.home, kit.case, film)
    before = on_card(kit.home, film)
    kit.space.reserve = lambda seconds: False  # type: ignore[method-assign]
    kit.arm()
    kit.press()
    assert kit.state is State.REFUSED and not kit.camera.open
    kit.clock.advance(8 * 24 * 3600)
    kit.advance(1)
    assert on_card(kit.home, film) == before
    assert "film-removed" not in kit.events()


class Service:
    """The service of a visit, as its people run it, with a store."""

    def __init__(self, root: Path, visit: Visit) -> None:
        self.store, self.keys, self.visit = root / "store", root / "keys", visit
        self.store.mkdir()
        make_new(FolderStore(self.store), visit.service)
        for folder, name, data in (
            ("", "service.key", visit.service.text().encode()),
            ("practitioners", "one.pub", to_json(visit.keys.card())),
            ("kits", "kit.pub", visit.kit.home.kit_card.read_bytes()),
        ):
            (self.keys / folder).mkdir(parents=True, exist_ok=True)
            save(self.keys / folder / name, data, mode=0o600)

    def run(self, *words: str) -> None:
        command = [sys.executable, "-m", "appliance.base", self.store.as_uri(), "-i"]
        subprocess.run([*command, str(self.keys), *words], check=True, capture_output=True)

    def sync(self) -> SyncStatus:
        """One contact of the kit, which looks whether anything was lost."""
        home, clock = self.visit.kit.home, SystemClock()
        home.prepare(home.receipts, home.inbox)
        sender = Sender(
            home,
            lambda: FolderStore(self.store),
            clock,
            Log(home.log("sync"), clock),
            lambda status: None,
            Manner(emptying=True),
        )
        return sender.run(compare=True)


def answer(visit: Visit, note: str) -> str:
    """What a real recorder says to an order."""
    now = SystemClock().read()
    asked = Remove(id=new_id(), boot=now.boot, boottime=now.boottime, note=note)
    place_request(visit.kit.home, asked)
    shown = visit.kit.recorder_shows("an answer", lambda s: asked.id in s.answers)
    return shown.answers[asked.id]


def test_8_a_film_leaves_only_when_the_service_read_it_and_a_withdrawal_still_reaches_it(
    new_visit: Callable[..., Visit], tmp_path: Path
) -> None:
    visit = new_visit(emptying=True)
    visit.vouch()
    visit.arm()
    film = visit.film().recording
    visit.kit.press(0.1)
    visit.kit.recorder_shows("the end", lambda s: s.state == "ready" and s.segments > 0)
    home, case, at_base = visit.kit.home, visit.case, Service(tmp_path, visit)
    assert at_base.sync().state == "sent"

    def order() -> str:
        return order_to_empty(case, home, visit.status.kit, film, datetime.now(UTC))

    with pytest.raises(BadInput, match="not watched this film"):
        order()
    now = datetime.now(UTC)
    seen = Review(
        id=new_id(), held=now, shown=(new_id(),), strengths="", next="", ratings=(), go_on="yes"
    )
    case.write(seen, seen.id)
    at_base.sync()
    # What the service has listed it has not read.
    at_base.run("audit")
    at_base.sync()
    before = on_card(home, film)
    assert answer(visit, order()) == "refused" and on_card(home, film) == before
    at_base.run("audit", "--sample", "100")
    at_base.sync()
    assert answer(visit, order()) == "done"
    assert on_card(home, film) == {"manifest": before["manifest"]}
    status = at_base.sync()
    assert (status.state, status.sent, status.problems) == ("sent", 0, ())
    found = verify(Folder(home.root), [Verifier.parse(visit.status.verifier)])
    assert found.broken is None and any("left the card" in one.words for one in found.findings)
    # The copy at the store is the film, and is reached by a withdrawal.
    there = at_base.store / "cases" / case.id
    assert {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in (there / "recordings" / film).iterdir()
    } == before
    withdraw(case.directory, visit.keys, visit.status.kit, datetime.now(UTC))
    visit.kit.recorder_shows("the rest gone", lambda s: not home.recording(film).exists())
    assert at_base.sync().state == "sent"
    at_base.run("serve", "--once")
    assert not list(there.glob("identity-*"))
