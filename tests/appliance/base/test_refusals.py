"""The service says no to what waits for its yes: and no right of a family is lost by it."""

import shutil
from pathlib import Path

import pytest

from appliance.casework.closing import withdraw
from appliance.protocol.case_record import is_withdrawn
from appliance.protocol.objects import hold_object, order_object, tombstone_object
from appliance.protocol.orders import FilmWithdrawal, HoldEnd, HoldNotice, Withdrawal, hold_name
from appliance.protocol.refusals import refusal_here, refusal_path
from appliance.records.files import new_id
from appliance.records.signing import sign_fact
from appliance.vault.keys import PrivateKeys
from tests.support.bases import Base
from tests.support.homes import CLOCK, STARTED, contents, practitioner, service

NOW = CLOCK.read().wall


@pytest.fixture
def at_base(tmp_path: Path) -> Base:
    return Base(tmp_path)


def states(at_base: Base, status: int = 0) -> list[str]:
    orders = at_base.told("serve", "--once", status=status)["orders"]
    return sorted(order["state"] for order in orders)


def by_another(at_base: Base) -> tuple[str, str]:
    """A case that somebody withdrew on its kit who is not known to work with the family, and the
    order."""
    case = at_base.sent()
    directory = at_base.kit.home.case(case)
    order = withdraw(directory, at_base.enrolled(), at_base.kit.id, STARTED)
    at_base.kit.sync()
    assert states(at_base, 1) == ["asks"]
    return case, order.id


def no_here(at_base: Base, case: str, order: str) -> bool:
    return refusal_here(at_base.kit.home, service().chain, case, order) is not None


def test_an_order_that_is_refused_asks_no_more_and_its_kit_hears_of_it(at_base: Base) -> None:
    case, order = by_another(at_base)
    keys = at_base.identities(case)
    assert at_base.told("refuse", order, "--yes")["what"] == "case"
    assert states(at_base) == ["declined"]
    assert order not in at_base.run("status").stderr
    assert at_base.identities(case) == keys
    at_base.kit.sync()
    assert no_here(at_base, case, order)
    # What the family took back there stays closed there.
    assert is_withdrawn(at_base.kit.home.case(case))
    before = refusal_path(at_base.kit.home, order).stat().st_mtime_ns
    at_base.kit.sync()
    assert refusal_path(at_base.kit.home, order).stat().st_mtime_ns == before


def test_after_a_no_the_family_is_heard_through_somebody_of_its_team(at_base: Base) -> None:
    case, order = by_another(at_base)
    at_base.told("refuse", order, "--yes")
    at_base.place(Withdrawal(id=new_id(), case=case, kit=at_base.kit.id, at=NOW), practitioner())
    assert "done" in states(at_base) and at_base.identities(case) == []
    at_base.kit.sync()
    assert (at_base.kit.home.inbox / order).exists()


@pytest.mark.parametrize("film", [False, True], ids=["a case", "a film"])
def test_the_services_own_order_ends_what_it_refused_before(at_base: Base, film: bool) -> None:
    case = at_base.sent()
    name = at_base.kit.film(case)
    at_base.kit.sync()
    about = {"id": new_id(), "case": case, "kit": at_base.kit.id, "at": NOW}
    order = FilmWithdrawal(**about, film=name, clips=()) if film else Withdrawal(**about)
    at_base.place(order, at_base.enrolled())
    assert states(at_base, 1) == ["asks"]
    at_base.told("refuse", order.id, "--yes")
    at_base.told("withdraw", case, *(("--film", name, "--kit", at_base.kit.id) if film else ()))
    assert "declined" not in states(at_base)
    answer = (at_base.store / tombstone_object(order.id if film else case)).read_bytes()
    assert b"tombstone/v1" in answer
    assert at_base.run("serve", "--once").returncode == 0
    assert (at_base.store / tombstone_object(order.id if film else case)).read_bytes() == answer


def test_nothing_is_refused_by_a_slip(at_base: Base) -> None:
    case, order = by_another(at_base)
    before = contents(at_base.root)
    assert at_base.told("refuse", order, "--dry-run")["dry_run"]
    assert at_base.run("refuse", order, said="n\n").returncode == 130
    assert at_base.run("refuse", order, "--json").returncode == 2
    # What was answered, what waits for nothing, and what is no order.
    _case, done = at_base.withdrawn()
    assert at_base.run("serve", "--once").returncode == 1
    for name in (done, new_id(), "rubbish", f"{case}/{'0' * 16}", f"holds/{case}/x", "../x"):
        refused = at_base.run("refuse", name, "--yes")
        assert (refused.returncode, "Traceback" in refused.stderr) == (1, False), name
    after = contents(at_base.root)
    assert {name for name in after if "refused" in name} == set()
    assert before.keys() - after.keys() == set()
    assert states(at_base, 1) == ["asks", "done-before"]


def test_a_hold_that_is_refused_keeps_nothing_any_more(at_base: Base) -> None:
    case = at_base.sent()
    leaver = at_base.enrolled()
    at_base.told("revoke", leaver.card().name)
    notice = HoldNotice(case=case, signer=leaver.card().name, since=CLOCK.read().wall, until=NOW)
    note = sign_fact(leaver.signer, notice)
    hold = hold_name(note.encode())
    at_base.kit.home.case(case).hold.write_text(note)
    at_base.kit.sync()
    assert at_base.told("retention")["counts"]["held"]["cases"] == 1
    assert f"refuse holds/{case}/{hold}" in at_base.run("serve", "--once").stderr
    assert at_base.told("refuse", f"holds/{case}/{hold}", "--yes")["what"] == "hold"
    assert "held" not in at_base.told("retention")["counts"]
    assert states(at_base) == []
    at_base.kit.sync()
    assert no_here(at_base, case, hold)
    # Its end, too, is of something that never counted.
    end = HoldEnd(case=case, hold=hold, signer=leaver.card().name, at=CLOCK.read().wall)
    where = at_base.store / f"{hold_object(case, hold)}-lifted"
    where.write_text(sign_fact(leaver.signer, end))
    assert states(at_base) == []
    # A hold that counts is lifted, and not refused.
    at_base.told("hold", case, "--until", "2099-01-01")
    names = {path.name for path in where.parent.iterdir() if "-" not in path.name}
    (other,) = names - {hold}
    assert at_base.run("refuse", f"{case}/{other}", "--yes").returncode == 1


def test_a_no_outlives_the_store_and_the_ledger(at_base: Base) -> None:
    case, order = by_another(at_base)
    at_base.told("refuse", order, "--yes")
    where = at_base.store / tombstone_object(order)
    note = where.read_bytes()
    where.write_text("rubbish")
    (at_base.store / "service" / "ledger").unlink()
    assert states(at_base) == ["declined"] and where.read_bytes() == note
    shutil.rmtree(at_base.keys / "ledger")
    assert at_base.run("ledger", "--from-store").returncode == 0
    assert states(at_base) == ["declined"] and at_base.identities(case)
    at_base.told("enrol", str(at_base.kit.home.kit / "kit.json"))
    assert at_base.told("audit", "--dry-run", status=0)["audit"]["findings"] == []


def test_only_the_service_says_no(at_base: Base) -> None:
    case, order = by_another(at_base)
    assert at_base.told("refuse", order, "--dry-run")
    no = f'{{"attune":"order-refused/v1","order":"{order}","case":"{case}","what":"case",' + (
        f'"at":"{NOW.isoformat()}"}}\n'
    )
    where = at_base.store / tombstone_object(order)
    where.parent.mkdir(exist_ok=True)
    for keys in (practitioner(), PrivateKeys.generate("service")):
        where.write_text(keys.signer.sign(no))
        at_base.kit.sync()
        assert not no_here(at_base, case, order) and states(at_base, 1) == ["asks"]
    assert (at_base.store / order_object(order)).exists()
