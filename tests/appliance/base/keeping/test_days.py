"""For how long films are kept is one number, which the service signs."""

from pathlib import Path
from typing import Any

import pytest

from appliance.base.keeping.days import DAYS, DaysKept
from appliance.records.signing import open_fact
from tests.support.bases import Base
from tests.support.homes import service


@pytest.fixture
def at_base(tmp_path: Path) -> Base:
    return Base(tmp_path)


def said(at_base: Base, *words: str) -> dict[str, Any]:
    told = at_base.told("retention", *words)
    assert at_base.told("status")["retention_days"] == told["days_set"]
    return told


def test_the_number_that_was_set_is_used_from_then_on(at_base: Base) -> None:
    assert said(at_base)["days"] == 30
    assert said(at_base, "--days", "60", "--dry-run")["days_set"] == 30
    assert said(at_base, "--days", "60")["days_set"] == 60
    assert said(at_base)["days"] == 60
    note = (at_base.store / DAYS).read_bytes()
    assert open_fact(note, [service().signer.verifier], DaysKept)[0].days == 60


def test_a_smaller_number_is_set_only_when_somebody_says_yes(at_base: Base) -> None:
    assert said(at_base, "--days", "60")["days_set"] == 60
    told = said(at_base, "--days", "1")
    assert (told["days"], told["days_set"], told["removed"]) == (1, 60, [])
    assert at_base.run("retention", "--days", "1", said="n\n").returncode == 130
    assert said(at_base)["days"] == 60
    assert at_base.run("retention", "--days", "40", said="y\n").returncode == 0
    assert said(at_base)["days"] == 40
    assert said(at_base, "--days", "20", "--yes")["days_set"] == 20


def test_the_number_outlives_the_store_and_the_ledger(at_base: Base) -> None:
    said(at_base, "--days", "60")
    (at_base.store / DAYS).write_text("rubbish")
    (at_base.store / "service" / "ledger").unlink()
    assert at_base.run("serve", "--once").returncode == 0
    assert b"days-kept" in (at_base.store / DAYS).read_bytes()
    (at_base.keys / "ledger" / "head").unlink()
    assert at_base.run("ledger", "--from-store").returncode == 0
    assert said(at_base)["days"] == 60
