"""What ends of the way into a store is known before it ends."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from appliance.bench.certificates import Authority
from appliance.stores.endings import SOON, Ending, of_token, soon
from appliance.stores.tls import knock, pinned
from tests.appliance.stores.test_tls import answering

NOW = datetime(2026, 11, 29, 12, 0, tzinfo=UTC)


def test_a_token_says_when_it_ends_whichever_way_it_is_written() -> None:
    for said, at in (
        ("2026-12-24T18:00:00Z", datetime(2026, 12, 24, 18, tzinfo=UTC)),
        ("2026-12-24T18%3A00Z", datetime(2026, 12, 24, 18, tzinfo=UTC)),
        ("2026-12-24", datetime(2026, 12, 24, tzinfo=UTC)),
    ):
        assert list(of_token(f"?sv=1&se={said}&sig=x")) == [Ending(at, "credential")]
    assert list(of_token("sv=1&si=a-stored-policy&sig=x")) == []
    assert list(of_token("se=tomorrow&sig=x")) == []


def test_a_pin_and_the_stores_certificate_show_when_they_end(tmp_path: Path) -> None:
    authority = Authority()
    valid = (timedelta(hours=-1), timedelta(hours=5))
    with answering(authority, tmp_path, valid) as port:
        ends = knock("localhost", port, pinned(authority.pem), 10.0)
    assert [ending.what for ending in ends] == ["pin", "certificate"]
    left = [ending.at - datetime.now(UTC) for ending in ends]
    assert timedelta(hours=23) < left[0] <= timedelta(days=1)
    assert timedelta(hours=4) < left[1] <= timedelta(hours=5)


def test_it_is_told_a_month_before_and_not_earlier_and_each_kind_once() -> None:
    far = Ending(NOW + SOON, "pin")
    near = Ending(NOW + SOON - timedelta(seconds=1), "pin")
    nearer = Ending(NOW, "pin")
    token = Ending(NOW + timedelta(days=2), "credential")
    assert soon([far], NOW) == ()
    assert soon([far, near], NOW) == (near,)
    assert soon([token, near, nearer], NOW) == (nearer, token)
