"""A clock that is far from what kits sign stops base, and one kit alone stops nobody."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from appliance.base.watch.clock import AHEAD, BEHIND, check
from appliance.errors import ClockInDoubt
from appliance.protocol.objects import heads_object
from appliance.records.audit import Heads
from appliance.records.files import save
from appliance.records.signing import sign_fact
from tests.support.bases import Base

NOW = datetime(2026, 11, 29, 12, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def test_a_clock_near_to_what_kits_sign_is_believed_and_so_is_one_without_kits() -> None:
    check([], NOW)
    check([NOW - AHEAD, NOW + BEHIND], NOW)


@pytest.mark.parametrize(
    ("heard", "said"),
    [
        ([NOW - AHEAD - SECOND], "ahead"),
        ([NOW - timedelta(days=365), NOW - timedelta(days=400)], "ahead"),
        ([NOW + BEHIND + SECOND], "behind"),
        ([NOW + timedelta(days=365)] * 2 + [NOW], "behind"),
    ],
)
def test_a_clock_far_from_what_kits_sign_is_not_believed(heard: list[datetime], said: str) -> None:
    with pytest.raises(ClockInDoubt, match=f"may be {said}") as refused:
        check(heard, NOW)
    assert "--clock-is-right" in refused.value.hint


def test_one_kit_that_lies_about_the_time_stops_nobody_and_hides_nothing() -> None:
    lies = NOW + timedelta(days=3000)
    check([lies, NOW, NOW], NOW)
    check([lies, NOW], NOW)
    check([lies, NOW - AHEAD], NOW)
    with pytest.raises(ClockInDoubt, match="ahead"):
        check([lies, NOW - timedelta(days=365), NOW - timedelta(days=364)], NOW)


def test_whoever_looked_at_the_clock_is_believed_as_long_as_a_kit() -> None:
    quiet, lies = [NOW - timedelta(days=365)], [NOW + timedelta(days=3000)]
    for heard in (quiet, lies):
        check(heard, NOW, NOW)
        check(heard, NOW, NOW - AHEAD)
        for seen in (NOW + SECOND, NOW - AHEAD - SECOND):
            with pytest.raises(ClockInDoubt):
                check(heard, NOW, seen)


def test_base_ends_no_share_and_removes_no_key_by_a_clock_that_is_a_year_ahead(
    tmp_path: Path,
) -> None:
    at_base = Base(tmp_path)
    at_base.told("enrol", str(at_base.kit.home.kit / "kit.json"))
    heads = Heads(
        kit=at_base.kit.id, number=1, wall=datetime.now(UTC) - timedelta(days=365), boot="boot",
        logs={}, broken=(), before="",
    )  # fmt: skip
    path = at_base.store / heads_object(at_base.kit.id, "000001")
    path.parent.mkdir(parents=True)
    save(path, sign_fact(at_base.kit.signer, heads).encode())
    case, _order = at_base.withdrawn()
    refused = at_base.told("serve", "--once", status=1)
    assert refused["error"]["code"] == "clock-in-doubt"
    assert at_base.identities(case)
    done = at_base.run("--clock-is-right", "serve", "--once")
    assert done.returncode == 0, done.stderr
    assert at_base.identities(case) == []
    # What somebody has looked at is remembered: whatever serves round after round goes on.
    again = at_base.run("serve", "--once")
    assert again.returncode == 0, again.stderr
    (at_base.keys / "clock-seen").write_text("junk")
    assert at_base.told("serve", "--once", status=1)["error"]["code"] == "clock-in-doubt"
