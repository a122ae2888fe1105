"""What may go goes when its time is over, and in any doubt nothing does."""

import shutil
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from appliance.age.sealing import VERSION_LINE
from appliance.protocol.objects import case_object, heads_object, hold_object
from appliance.protocol.orders import HoldNotice, hold_name
from appliance.protocol.retention import Keep, Purged, keep_name, purged_object
from appliance.records.audit import Heads, Log
from appliance.records.files import new_id
from appliance.records.signing import open_fact, sign_fact
from appliance.vault.keys import PrivateKeys
from firmware.logs.checkpoints import Checkpoints
from tests.support.bases import Base
from tests.support.homes import CLOCK, contents, practitioner, service

NOW = CLOCK.read().wall
DAY = timedelta(days=1)
LONG_AGO = NOW - 100 * DAY


@pytest.fixture
def at_base(tmp_path: Path) -> Base:
    """A service that hears of its kit."""
    made = Base(tmp_path)
    made.told("enrol", str(made.kit.home.kit / "kit.json"))
    Log(made.kit.home.log("web"), CLOCK).write("unlocked")
    Checkpoints(made.kit.home, made.kit.signer, CLOCK).sign()
    return made


def family(at_base: Base) -> str:
    case = at_base.kit.case().id
    at_base.kit.film(case, started=LONG_AGO)
    at_base.kit.sync()
    return case


def says(
    at_base: Base,
    case: str,
    until: datetime | None,
    number: int = 1,
    keys: PrivateKeys | None = None,
    kit: str = "",
    at: datetime = NOW - 60 * DAY,
) -> Path:
    """A kit's word on the day, as it lies at the store."""
    kit = kit or at_base.kit.id
    keep = Keep(case=case, kit=kit, number=number, until=until, at=at)
    path = at_base.store / case_object(case, keep_name(number, kit))
    path.write_text(sign_fact((keys or practitioner()).signer, keep))
    return path


def sealed(at_base: Base, case: str, file: str) -> None:
    """Something sealed that came to the store of a case."""
    path = at_base.store / case_object(case, file)
    path.parent.mkdir(exist_ok=True, parents=True)
    path.write_bytes(VERSION_LINE + b"sealed")


def heard(at_base: Base, at: datetime) -> None:
    """The kit was heard of last at this time, by its own clock."""
    shutil.rmtree(at_base.store / "kits" / at_base.kit.id / "heads", ignore_errors=True)
    told = Heads(kit=at_base.kit.id, number=99, wall=at, boot="boot", logs={}, broken=(), before="")
    path = at_base.store / heads_object(at_base.kit.id, "000099")
    path.parent.mkdir()
    path.write_text(sign_fact(at_base.kit.signer, told))


def looked(at_base: Base, *words: str) -> dict[str, Any]:
    return at_base.told("retention", "--days", "30", *words)


def state(at_base: Base, case: str) -> str:
    """What base thinks of a case; '' where there is nothing to say of it."""
    found = {one["case"]: one["state"] for one in looked(at_base, "--dry-run")["cases"]}
    return found.get(case, "")


@pytest.mark.parametrize(
    ("until", "expected"),
    [(NOW + DAY, ""), (NOW - DAY, "due"), (NOW - 29 * DAY, "due"), (NOW - 31 * DAY, "overdue")],
)
def test_the_day_that_a_kit_said_and_the_services_days_after_it_count(
    at_base: Base, until: datetime, expected: str
) -> None:
    case = family(at_base)
    says(at_base, case, until)
    assert state(at_base, case) == expected


OVER = NOW - 31 * DAY


def test_an_overdue_case_is_closed_and_all_of_it_goes_and_that_is_signed_for(
    at_base: Base,
) -> None:
    case, other = family(at_base), family(at_base)
    says(at_base, case, OVER)
    before = contents(at_base.store / "cases")
    assert looked(at_base, "--dry-run")["would_remove"] == [case]
    assert looked(at_base)["removed"] == [], "an object is printed, and nobody said yes"
    assert contents(at_base.store / "cases") == before
    assert looked(at_base, "--yes")["removed"] == [case]
    assert not (at_base.store / "cases" / case).exists()
    assert (at_base.store / "cases" / other).exists()
    note = (at_base.store / purged_object(case)).read_bytes()
    gone, _ = open_fact(note, [service().signer.verifier], Purged)
    assert (gone.case, gone.why) == (case, "kept-long-enough") and gone.objects > 5
    assert (at_base.store / "tombstones" / case).exists()
    status = at_base.kit.sync()
    assert status.withdrawn_elsewhere == (case,), "and its kit hears of it and sends nothing anew"
    assert not (at_base.store / "cases" / case).exists()


def test_what_was_withdrawn_goes_after_the_services_days_and_not_before(at_base: Base) -> None:
    case, _order = at_base.withdrawn()
    at_base.run("serve", "--once")
    assert looked(at_base, "--dry-run")["counts"]["closed"]["cases"] == 1
    assert looked(at_base, "--yes")["removed"] == []
    assert (at_base.store / "cases" / case).exists()


@pytest.mark.parametrize(
    "doubt",
    [
        "nobody said a day",
        "the work goes on",
        "a film since",
        "a stranger's word",
        "another's number",
        "another kit filmed",
        "another kit says otherwise",
        "a manifest that nobody can read",
        "a manifest that nobody signed",
        "a film whose manifest has not come",
        "a film from elsewhere since",
        "another kit wrote",
        "another kit sent a key",
    ],
)
def test_in_any_doubt_nothing_of_an_open_case_goes(at_base: Base, doubt: str) -> None:
    case = family(at_base)
    if doubt != "nobody said a day":
        path = says(at_base, case, OVER)
    if doubt == "the work goes on":
        says(at_base, case, None, number=2)
    elif doubt == "a film since":
        at_base.kit.film(case, started=NOW - DAY)
        at_base.kit.sync()
    elif doubt == "a stranger's word":
        says(at_base, case, OVER, number=2, keys=at_base.enrolled())
    elif doubt == "another's number":
        says(at_base, case, None, number=2)
        shutil.copy(path, path.with_name(keep_name(3, at_base.kit.id)))
    elif doubt == "another kit filmed":
        path.rename(path.with_name(keep_name(1, new_id())))
    elif doubt == "another kit says otherwise":
        says(at_base, case, None, kit=new_id())
    elif doubt == "a manifest that nobody can read":
        (manifest,) = (at_base.store / "cases" / case).glob("recordings/*/manifest")
        manifest.chmod(0o600)
        manifest.write_bytes(b"rubbish")
    elif doubt == "a manifest that nobody signed":
        (manifest,) = (at_base.store / "cases" / case).glob("recordings/*/manifest")
        manifest.chmod(0o600)
        manifest.write_bytes(manifest.read_bytes().partition(b"\n\n")[0] + b"\n")
    elif doubt == "a film whose manifest has not come":
        sealed(at_base, case, f"recordings/{new_id()}/0000.mp4.age")
    elif doubt == "a film from elsewhere since":
        sealed(at_base, case, f"imports/{new_id()}/0000.mp4.age")
    elif doubt == "another kit wrote":
        sealed(at_base, case, f"documents/consent-0002-{new_id()}.age")
    elif doubt == "another kit sent a key":
        sealed(at_base, case, f"identity-0001-{new_id()}-{'0' * 16}.age")
    assert state(at_base, case) == ""
    assert looked(at_base, "--yes")["removed"] == []


def test_a_case_under_a_hold_or_with_a_silent_kit_is_named_and_stays(at_base: Base) -> None:
    held = family(at_base)
    says(at_base, held, OVER)
    at_base.told("hold", held, "--until", "2099-01-31")
    assert state(at_base, held) == "held"
    silent = family(at_base)
    says(at_base, silent, NOW - DAY)
    shutil.rmtree(at_base.store / "kits" / at_base.kit.id / "heads")
    assert state(at_base, silent) == "silent"
    assert looked(at_base, "--yes")["removed"] == []


@pytest.mark.parametrize(
    ("until", "last", "expected"),
    [
        (35 * DAY, 34 * DAY, "silent"),
        (35 * DAY, 5 * DAY, "silent"),
        (35 * DAY, 4 * DAY, "overdue"),
        (90 * DAY, 15 * DAY, "silent"),
        (90 * DAY, 13 * DAY, "overdue"),
        (35 * DAY, -3000 * DAY, "silent"),
        (20 * DAY, 19 * DAY, "due"),
        (20 * DAY, 21 * DAY, "silent"),
    ],
    ids=[
        "heard just after the day, and then out",
        "when base's own days were over",
        "after them",
        "long ago",
        "lately",
        "with a clock that is years ahead",
        "while the kit has still time",
        "not since the day",
    ],
)
def test_a_kit_must_have_had_the_time_to_say_otherwise_and_said_nothing(
    at_base: Base, until: timedelta, last: timedelta, expected: str
) -> None:
    case = family(at_base)
    says(at_base, case, NOW - until, at=NOW - 95 * DAY)
    heard(at_base, NOW - last)
    found = at_base.told("--clock-is-right", "retention", "--days", "30", "--dry-run")
    assert [one["state"] for one in found["cases"]] == [expected]
    assert found["would_remove"] == ([case] if expected == "overdue" else [])


def test_films_from_elsewhere_and_keys_that_the_service_sealed_keep_nothing(
    at_base: Base,
) -> None:
    case = family(at_base)
    (manifest,) = (at_base.store / "cases" / case).glob("recordings/*/manifest")
    brought = at_base.store / case_object(case, f"imports/{new_id()}/manifest")
    brought.parent.mkdir(parents=True)
    text = manifest.read_text().partition("\n\n")[0] + "\n"
    brought.write_text(practitioner().signer.sign(text))
    sealed(at_base, case, f"identity-0001-{service().chain.slug}.age")
    says(at_base, case, OVER)
    assert state(at_base, case) == "overdue"


@pytest.mark.parametrize("since", [timedelta(hours=1), None], ids=["since they left", "unsaid"])
def test_a_hold_that_waits_for_the_services_word_holds_until_then(
    at_base: Base, since: timedelta | None
) -> None:
    case = family(at_base)
    says(at_base, case, OVER)
    left = at_base.enrolled()
    at_base.told("revoke", left.card().name)
    notice = HoldNotice(
        case=case,
        film="",
        signer=left.card().name,
        since=CLOCK.read().wall + since if since else None,
        until=NOW + 90 * DAY,
    )
    note = sign_fact(left.signer, notice).encode()
    path = at_base.store / hold_object(case, hold_name(note))
    path.parent.mkdir(parents=True)
    path.write_bytes(note)
    assert state(at_base, case) == "held"
    assert looked(at_base, "--yes")["removed"] == []


def test_a_store_that_is_restored_loses_again_what_was_purged(at_base: Base) -> None:
    case = family(at_base)
    says(at_base, case, OVER)
    copy = at_base.root / "copy"
    shutil.copytree(at_base.store, copy)
    assert looked(at_base, "--yes")["removed"] == [case]
    shutil.rmtree(at_base.store)
    copy.rename(at_base.store)
    lost = {finding["code"] for finding in at_base.told("audit", "--dry-run")["audit"]["findings"]}
    assert at_base.run("serve", "--once").returncode == 0
    assert not (at_base.store / "cases" / case).exists()
    assert (at_base.store / purged_object(case)).exists()
    assert lost == set()


def test_a_service_that_lost_its_ledger_takes_up_from_the_store_what_was_purged(
    at_base: Base,
) -> None:
    case = family(at_base)
    says(at_base, case, OVER)
    (kept,) = (at_base.store / "cases" / case).glob("identity-*")
    sealed = kept.read_bytes()
    assert looked(at_base, "--yes")["removed"] == [case]
    shutil.rmtree(at_base.keys / "ledger")
    kept.parent.mkdir()
    kept.write_bytes(sealed)
    at_base.told("ledger", "--from-store")
    assert not kept.parent.exists()


def test_somebody_is_asked_before_anything_goes_and_counts_have_no_names(at_base: Base) -> None:
    case = family(at_base)
    says(at_base, case, OVER)
    done = at_base.run("retention")
    assert done.returncode != 0 and "Remove everything of 1 cases" in done.stderr
    assert (at_base.store / "cases" / case).exists()
    counts = looked(at_base, "--dry-run")["counts"]
    assert counts["overdue"]["films"] == 1 and case not in str(counts)
