"""What is in force where several homes wrote: what nothing replaces."""

import random
from datetime import UTC, datetime, timedelta

import pytest

from appliance.protocol.names import Numbered, numbered
from appliance.vault.versions import Replaced, Version, in_force, only_in_force

A, B = "a" * 16, "b" * 16
NOON = datetime(2027, 3, 1, 12, tzinfo=UTC)


def name(number: int, home: str = "", digest: str = "") -> Numbered:
    file = "-".join(part for part in ("goals", f"{number:04}", home, digest) if part)
    found = numbered(f"{file}.age")
    assert found is not None
    return found


def old(number: int, home: str = "", digest: str = "") -> Version:
    one = name(number, home, digest)
    return Version(one, f"digest of {one.file}", numbered_only=True)


def new(number: int, home: str, *after: Version, minutes: int = 0) -> Version:
    one = name(number, home)
    replaced = tuple(Replaced(v.name.file, v.digest) for v in after)
    return Version(one, f"digest of {one.file}", replaced, NOON + timedelta(minutes=minutes))


def lost(one: Version) -> Version:
    """The same, when its file cannot be read any more."""
    return Version(one.name, numbered_only=not one.name.home)


def test_of_one_homes_line_the_last_is_in_force_whatever_the_order() -> None:
    first = old(1)
    second = old(2)
    third = new(3, A, second)
    fourth = new(4, A, third)
    for order in ([first, second, third, fourth], [fourth, second, first, third]):
        assert in_force(order) == [fourth]
        assert only_in_force([one.name for one in order]) == fourth.name


def test_two_homes_that_went_on_from_the_same_version_leave_a_fork_the_later_first() -> None:
    shared = old(1)
    ours, theirs = new(2, A, shared, minutes=5), new(2, B, shared, minutes=9)
    assert in_force([shared, ours, theirs]) == [theirs, ours]
    longer = new(3, A, ours, minutes=7)
    assert in_force([shared, ours, theirs, longer]) == [theirs, longer]


def test_what_replaces_both_settles_a_fork() -> None:
    shared = old(1)
    ours, theirs = new(2, A, shared), new(2, B, shared)
    settled = new(3, B, ours, theirs)
    assert in_force([shared, ours, theirs, settled]) == [settled]


def test_a_number_says_nothing_of_who_knew_what() -> None:
    shared = old(1)
    ours = new(2, A, shared)
    theirs = new(9, B, shared)
    assert set(in_force([shared, ours, theirs])) == {ours, theirs}


def test_what_an_old_home_wrote_on_stays_beside_what_a_new_one_wrote_on() -> None:
    """A card was copied; one of both was never updated."""
    shared, theirs = old(1), old(2)
    ours = new(2, A, shared)
    assert set(in_force([shared, theirs, ours])) == {ours, theirs}


def test_old_versions_of_two_homes_are_each_the_last_of_their_line() -> None:
    lines = [old(1), old(2), old(2, B, "0" * 16), old(3, B, "1" * 16)]
    assert set(in_force(lines)) == {lines[1], lines[3]}


def test_a_damaged_version_is_no_fork_once_something_replaced_it() -> None:
    shared, other = old(1), new(2, B, old(1))
    ours = new(2, A, shared)
    later = new(3, A, ours, other)
    for gone in (shared, other, ours):
        left = [lost(one) if one is gone else one for one in (shared, other, ours, later)]
        assert in_force(left) == [later]


def test_a_damaged_version_that_nothing_replaced_is_in_force_and_in_doubt() -> None:
    shared = old(1)
    ours, theirs = new(2, A, shared), lost(new(2, B, shared))
    assert set(in_force([shared, ours, theirs])) == {ours, theirs}


def test_what_could_not_be_read_when_it_was_replaced_is_asked_again_once_it_can() -> None:
    theirs = new(1, B)
    ours = new(2, A, lost(theirs))
    assert in_force([lost(theirs), ours]) == [ours]
    assert set(in_force([theirs, ours])) == {theirs, ours}


@pytest.mark.parametrize(
    "names",
    [
        [name(1, A), name(1, B)],
        [name(1, A), name(2, B)],
        [name(1), name(1, A)],
        [name(1), name(2), name(2, A)],
        [name(1), name(3, A)],
        [name(1), name(2, A, "0" * 16)],
    ],
)
def test_where_names_alone_do_not_show_one_line_the_headings_are_asked(
    names: list[Numbered],
) -> None:
    assert only_in_force(names) is None


@pytest.mark.parametrize("seed", range(200))
def test_whatever_homes_write_and_see_of_each_other_something_is_in_force_and_nothing_is_lost(
    seed: int,
) -> None:
    """Homes write, copy from each other and lose sight: what one wrote and nobody who had seen it
    wrote on from is in force. Names alone never say otherwise than headings."""
    chance = random.Random(seed)
    homes: dict[str, set[Version]] = {A: set(), B: set(), "c" * 16: set()}
    every: set[Version] = set()
    replaced: set[str] = set()
    for minute in range(chance.randint(1, 25)):
        home = chance.choice(sorted(homes))
        if chance.random() < 0.3:
            homes[home] |= homes[chance.choice(sorted(homes))]
            continue
        known = homes[home]
        standing = in_force(known)
        number = 1 + max((one.name.number for one in known), default=0)
        written = new(number, home, *standing, minutes=minute)
        replaced |= {one.digest for one in standing}
        known.add(written)
        every.add(written)
        assert in_force(known) == [written]
    for known in (*homes.values(), every):
        expected = {one for one in known if one.digest not in replaced} if known == every else None
        found = in_force(known)
        assert bool(found) == bool(known)
        assert expected is None or set(found) == expected
        only = only_in_force([one.name for one in known])
        assert only is None or [one.name for one in found] == [only]
