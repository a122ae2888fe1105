"""How a service stands: each thing that somebody should look at, and nothing is changed."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from appliance.base.status import SILENT, ends_soon, not_audited
from appliance.protocol.audits import FRESH
from appliance.protocol.objects import audit_object, heads_object, hold_object
from appliance.protocol.orders import HoldNotice, Withdrawal, hold_name
from appliance.records.audit import Heads
from appliance.records.files import new_id, save
from appliance.records.signing import Signer, sign_fact
from appliance.stores.endings import SOON, Ending
from tests.support.bases import Base
from tests.support.homes import an_audit, contents, practitioner, service

NOW = datetime.now(UTC).replace(microsecond=0)


@pytest.fixture
def at_base(tmp_path: Path) -> Base:
    """A service whose one kit is enrolled and sent a family's case just now."""
    made = Base(tmp_path)
    made.told("enrol", str(made.kit.home.kit / "kit.json"))
    heard(made, NOW)
    made.sent()
    audited(made, NOW)
    return made


def audited(at_base: Base, at: datetime, number: int = 1) -> Path:
    """The service has signed that it looked through its store."""
    path = at_base.store / audit_object(number)
    path.parent.mkdir(exist_ok=True)
    audit = msgspec.structs.replace(an_audit(at), number=number)
    save(path, sign_fact(service().signer, audit).encode())
    return path


def heard(
    at_base: Base, at: datetime, number: int = 1, signer: Signer | None = None, **changed: Any
) -> None:
    """The kit has signed how far its logs have come."""
    told = {"kit": at_base.kit.id, "number": number, "wall": at, "boot": "boot", "logs": {},
            "broken": (), "before": ""}  # fmt: skip
    note = sign_fact(signer or at_base.kit.signer, Heads(**(told | changed)))
    path = at_base.store / heads_object(at_base.kit.id, f"{number:06}")
    path.parent.mkdir(parents=True, exist_ok=True)
    save(path, note.encode())


def status(at_base: Base) -> list[dict[str, Any]]:
    """What is to be looked at, if anything; nothing was changed."""
    before = contents(at_base.root)
    done = at_base.run("status")
    told = at_base.told("status", status=done.returncode)
    assert contents(at_base.root) == before
    found: list[dict[str, Any]] = told["findings"]
    assert (told["ok"], done.returncode) == ((False, 1) if found else (True, 0))
    for finding in found:
        assert finding["what"] in done.stderr and finding["to_do"] in done.stderr
    return found


def test_where_all_is_well_there_is_nothing_to_look_at(at_base: Base) -> None:
    assert status(at_base) == []
    counts = at_base.told("status")["counts"]
    assert counts == {"kits": 1, "cases": 1, "withdrawn": 0}


def test_a_case_that_was_withdrawn_is_counted_so(at_base: Base) -> None:
    at_base.withdrawn()
    assert at_base.run("serve", "--once").returncode == 0
    assert at_base.told("status")["counts"] == {"kits": 1, "cases": 2, "withdrawn": 1}


def test_an_order_that_waits_for_a_yes_is_named_with_the_day_since_when(at_base: Base) -> None:
    other = at_base.enrolled()
    case = at_base.sent()
    at_base.place(Withdrawal(id=new_id(), case=case, kit=at_base.kit.id, at=NOW), other)
    before = datetime.now(UTC)
    assert at_base.run("serve", "--once").returncode == 1
    after = datetime.now(UTC)
    (found,) = status(at_base)
    assert "waits for your yes" in found["what"] and case in found["what"]
    assert before <= datetime.fromisoformat(found["since"]) <= after


def test_a_kit_that_nobody_has_heard_of_for_long_is_named(at_base: Base) -> None:
    last = NOW - SILENT - timedelta(days=1)
    heard(at_base, NOW - SILENT + timedelta(days=1))
    assert status(at_base) == []
    heard(at_base, last)
    (found,) = status(at_base)
    assert (found["what"], datetime.fromisoformat(found["since"])) == (
        f"Kit {at_base.kit.id} is silent.", last,
    )  # fmt: skip
    assert f"{last:%d %B %Y}" in at_base.run("kits").stderr


def test_what_a_kit_did_not_sign_says_nothing_of_it(at_base: Base) -> None:
    """Attack: whoever has a stolen kit's way in writes that it was heard of only yesterday."""
    heard(at_base, NOW - SILENT - timedelta(days=1))
    heard(at_base, NOW, 2, Signer.generate(f"kit-{at_base.kit.id}"))
    heard(at_base, NOW, 3, kit=new_id())
    (at_base.store / heads_object(at_base.kit.id, "000004")).write_bytes(b"\xff\0")
    (at_base.store / heads_object(at_base.kit.id, "000005")).mkdir()
    (found,) = status(at_base)
    assert "is silent" in found["what"]


def test_a_kit_whose_log_was_rewritten_is_named_first(at_base: Base) -> None:
    heard(at_base, NOW - SILENT - timedelta(days=1), 2, broken=("web",))
    first, second = status(at_base)
    assert "a log of its own was rewritten: web" in first["what"]
    assert "is silent" in second["what"]


def test_a_kit_that_never_came_and_one_that_is_not_enrolled_are_told_apart(at_base: Base) -> None:
    kit = at_base.kit.id
    (at_base.store / heads_object(kit, "000001")).unlink()
    (found,) = status(at_base)
    assert found["what"] == f"Nothing has come from kit {kit}."
    (at_base.keys / "kits" / f"{kit}.pub").unlink()
    (found,) = status(at_base)
    assert f"Kit {kit} is not enrolled" in found["what"]
    assert at_base.told("kits")["kits"] == [
        {"id": kit, "enrolled": False, "heard": None, "rewritten": [], "called": ""}
    ]


def test_a_hold_whose_day_has_come_is_to_be_looked_at_again(at_base: Base) -> None:
    case = at_base.sent()
    at_base.told("hold", case, "--until", f"{NOW + timedelta(days=2):%Y-%m-%d}")
    assert status(at_base) == []
    long_ago = NOW - timedelta(days=3)
    notice = HoldNotice(case=case, signer="", since=None, until=long_ago)
    note = sign_fact(practitioner().signer, notice).encode()
    path = at_base.store / hold_object(case, hold_name(note))
    path.parent.mkdir(parents=True, exist_ok=True)
    save(path, note)
    (found,) = status(at_base)
    assert found["what"] == f"The hold on case {case} is to be looked at again."
    assert datetime.fromisoformat(found["since"]) == long_ago


def test_a_store_that_was_not_looked_through_for_a_week_is_named(at_base: Base) -> None:
    last = NOW - FRESH - timedelta(days=1)
    audited(at_base, last)
    forged = at_base.store / audit_object(9)
    save(forged, sign_fact(practitioner().signer, an_audit(NOW)).encode())
    (found,) = status(at_base)
    assert found["what"] == "The store was not looked through for a week."
    assert datetime.fromisoformat(found["since"]) == last
    assert "audit --sample" in found["to_do"]
    audited(at_base, NOW - FRESH + timedelta(minutes=10), 2)
    assert status(at_base) == []


def test_a_store_that_was_never_looked_through_is_named_once_kits_have_sent(tmp_path: Path) -> None:
    at_base = Base(tmp_path)
    assert status(at_base) == [], "nobody has sent"
    at_base.kit.case()
    at_base.kit.sync()
    *_, found = status(at_base)
    assert "was never looked through" in found["what"] and "audit --sample" in found["to_do"]


def test_an_audit_of_a_day_to_come_silences_nothing() -> None:
    (found,) = not_audited(an_audit(NOW + timedelta(days=400)), True, NOW)
    assert "says that it began on" in found.sentence
    assert list(not_audited(an_audit(NOW + timedelta(hours=3)), True, NOW)) == []


def test_what_of_the_way_to_the_store_ends_before_long_is_named_with_its_day() -> None:
    token, pin = Ending(NOW + timedelta(days=3), "credential"), Ending(NOW + SOON, "pin")
    (found,) = ends_soon([token, pin], NOW)
    assert f"ends on {token.at:%d %B %Y}" in found.sentence
    assert "new access file" in found.to_do
    assert len(list(ends_soon([token, pin], NOW + timedelta(seconds=1)))) == 2
