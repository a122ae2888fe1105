"""What goes next, and what does not go at all."""

import itertools
import random
from datetime import UTC, datetime

import msgspec
import pytest

from appliance.protocol.receipts import Receipt
from appliance.sync.plan import Pace, Rank, Sealed, plan

STORE = "file:///srv/attune"


def sealed(name: str, rank: Rank, size: int = 10, case: str = "a", **more: str) -> Sealed:
    return Sealed(name, f"here/{name}", size, rank, case, **more)


def receipt(name: str, size: int = 10, sha256: str = "0" * 64, store: str = STORE) -> Receipt:
    return Receipt(
        object=name,
        size=size,
        sha256=sha256,
        store=store,
        at=datetime(2026, 11, 21, tzinfo=UTC),
        how="read-back",
    )


def nothing(name: str) -> None:
    return None


VISIT = [
    sealed("orders/o", Rank.ORDER, case="w"),
    sealed("cases/a/identity-0001.age", Rank.CASE_KEY),
    sealed("cases/a/documents/team-0001.age", Rank.TEAM),
    sealed("cases/a/keep-0001-k", Rank.KEEP),
    sealed("kits/k/card.json", Rank.KIT, case=""),
    sealed("cases/a/recordings/r/manifest", Rank.MANIFEST),
    sealed("cases/a/documents/details-0001.age", Rank.DOCUMENT, size=5),
    sealed("cases/a/documents/consent-0001.age", Rank.DOCUMENT, size=9),
    sealed("cases/a/clips/c.mp4.age", Rank.CLIP),
    sealed("cases/a/recordings/r/0000.index.age", Rank.FILM, size=90, place="1/r/0000.index.age"),
    sealed("cases/a/recordings/r/0000.mp4.age", Rank.FILM, size=9000, place="1/r/0000.mp4.age"),
    sealed("cases/a/recordings/r/0001.mp4.age", Rank.FILM, size=80, place="1/r/0001.mp4.age"),
    sealed("cases/a/recordings/q/0000.mp4.age", Rank.FILM, size=1, place="2/q/0000.mp4.age"),
]


def test_the_smallest_valuable_thing_goes_first_and_a_film_stays_together() -> None:
    mixed = random.Random(1).sample(VISIT, len(VISIT))
    assert plan(mixed, nothing, STORE) == VISIT


def test_what_was_confirmed_is_not_sent_again() -> None:
    for confirmed in itertools.combinations(VISIT, 3):
        names = {s.object: receipt(s.object, s.size) for s in confirmed}
        assert plan(VISIT, names.get, STORE) == [s for s in VISIT if s not in confirmed]


@pytest.mark.parametrize(
    "other",
    [
        {"store": "file:///srv/another"},
        {"size": 11},
        {"object": "cases/b/identity-0001.age"},
        {"sha256": "1" * 64},
    ],
)
def test_a_receipt_for_something_else_confirms_nothing(other: dict[str, object]) -> None:
    here = [sealed("cases/a/identity-0001.age", Rank.CASE_KEY, sha256="0" * 64)]
    right = receipt("cases/a/identity-0001.age")
    assert plan(here, lambda name: right, STORE) == []
    assert plan(here, lambda name: msgspec.structs.replace(right, **other), STORE) == here


def test_of_a_closed_case_only_its_order_goes() -> None:
    order = sealed("orders/p", Rank.ORDER, case="a")
    other = sealed("cases/b/identity-0001.age", Rank.CASE_KEY, case="b")
    sends = plan([*VISIT, order, other], nothing, STORE, closed={"a", "w"})
    assert [s.object for s in sends] == [
        "orders/o",
        "orders/p",
        "cases/b/identity-0001.age",
        "kits/k/card.json",
    ]


def test_on_average_no_more_goes_than_was_allowed() -> None:
    pace = Pace(1000.0)
    assert pace.wait(500, now=10.0) == 0
    assert pace.wait(2000, now=10.0) == 0.5
    assert pace.wait(1, now=10.5) == 2.0
    assert pace.wait(1, now=100.0) == 0


def test_without_a_limit_nothing_waits() -> None:
    pace = Pace(0)
    assert [pace.wait(1 << 40, now=1.0) for _ in range(3)] == [0, 0, 0]


def test_a_receipt_for_a_name_beside_another_counts_for_the_file_that_went_there() -> None:
    home, other = "h" * 16, "o" * 16
    name = f"cases/a/documents/goals-0002-{home}.age"
    waiting = [sealed(name, Rank.DOCUMENT)]
    for there, counts in (
        (f"cases/a/documents/goals-0002-{home}-{'0' * 16}.age", True),
        (f"cases/a/documents/goals-0003-{home}-{'0' * 16}.age", False),
        (f"cases/a/documents/goals-0002-{other}-{'0' * 16}.age", False),
        (f"cases/b/documents/goals-0002-{home}-{'0' * 16}.age", False),
    ):
        found = plan(waiting, {name: receipt(there)}.get, STORE)
        assert found == ([] if counts else waiting)


def test_only_what_two_homes_may_each_have_made_goes_beside_another() -> None:
    beside = {one.object for one in VISIT if one.may_lie_beside}
    assert beside == {
        "cases/a/identity-0001.age",
        "cases/a/documents/team-0001.age",
        "cases/a/keep-0001-k",
        "cases/a/documents/details-0001.age",
        "cases/a/documents/consent-0001.age",
        "cases/a/clips/c.mp4.age",
    }
    assert sealed("kits/k/heads/000001", Rank.KIT, case="").may_lie_beside
    assert sealed("cases/a/derived/r/0000.mp4.age", Rank.FILM).may_lie_beside
    assert not sealed("cases/a/imports/r/manifest", Rank.MANIFEST).may_lie_beside
    assert not sealed("holds/a/0", Rank.ORDER).may_lie_beside
