"""The service's roster: its people and kits by name, signed for kits, renewed by itself."""

import shutil
from datetime import timedelta
from pathlib import Path

import pytest

from appliance.base.ledger import Ledger
from appliance.base.roster import LASTS, Rosters, load_names
from appliance.protocol.cards import KitCard
from appliance.protocol.roster import Roster, read_roster, roster_object
from appliance.records.files import from_json, save
from tests.support.bases import Base
from tests.support.homes import CLOCK, contents, practitioner, service

NOW = CLOCK.read().wall


@pytest.fixture
def at_base(tmp_path: Path) -> Base:
    """A service whose one kit is enrolled."""
    made = Base(tmp_path)
    made.told("enrol", str(made.kit.home.kit / "kit.json"))
    return made


def signed(at_base: Base) -> list[Roster]:
    """Every roster at the store, by number."""
    found = sorted((at_base.store / "service" / "roster").glob("*"))
    return [read_roster(path.read_bytes(), service().chain) for path in found]


def renewed(at_base: Base, days: float, first: bool = False) -> None:
    """A round so many days later."""
    ledger = Ledger(at_base.keys, service().signer, CLOCK)
    kit = from_json(at_base.kit.home.kit_card.read_bytes(), KitCard)
    with ledger.at_work():
        rosters = Rosters(at_base.keys, service(), ledger)
        people, now = [practitioner().card()], NOW + timedelta(days=days)
        told = rosters.publish if first else rosters.renew
        told(at_base.folder, people, [], [kit], now)


def published(at_base: Base, days: float) -> None:
    """The first, so many days later."""
    renewed(at_base, days, first=True)


def test_a_service_that_made_no_roster_has_none_whatever_is_done(at_base: Base) -> None:
    at_base.sent()
    at_base.told("serve", "--once")
    at_base.told("roster")
    assert "No roster is signed" in at_base.run("roster").stderr
    assert not (at_base.store / "service" / "roster").exists()


def test_people_and_kits_are_named_and_told_to_kits_with_who_left(at_base: Base) -> None:
    name, kit = practitioner().card().name, at_base.kit.id
    at_base.told("roster", "--person", name, "--called", "Anna Shaw", "--role", "lead")
    at_base.told("roster", "--kit", kit, "--called", "Blue", "--lost-since", "2026-11-01")
    at_base.told("roster", "--publish")
    (first,) = signed(at_base)
    assert (first.number, first.ends - first.at, first.left) == (1, LASTS, ())
    assert [(one.card.name, one.name, one.role) for one in first.people] == [
        (name, "Anna Shaw", "lead")
    ]
    assert [(one.card.id, one.name) for one in first.kits] == [(kit, "Blue")]
    assert first.kits[0].lost is not None
    # A second time changes nothing; who leaves and what is found again does.
    at_base.told("roster", "--publish")
    at_base.told("roster", "--kit", kit, "--lost-since", "never")
    at_base.told("revoke", name)
    at_base.told("serve", "--once")
    assert [one.number for one in signed(at_base)] == [1, 2, 3]
    last = signed(at_base)[-1]
    assert last.people == () and last.kits[0].lost is None
    assert [(one.practitioner, one.since is not None) for one in last.left] == [(name, True)]
    done = at_base.run("roster").stderr
    assert f"Kit Blue ({kit})" in done and "Roster 3 of" in done


def test_names_stand_where_people_look(at_base: Base) -> None:
    case, name = at_base.sent(), practitioner().card().name
    at_base.told("roster", "--person", name, "--called", "Anna Shaw")
    at_base.told("roster", "--kit", at_base.kit.id, "--called", "Blue")
    assert f"Blue ({at_base.kit.id})" in at_base.run("kits").stderr
    assert f"kit Blue ({at_base.kit.id})" in at_base.run("status").stderr
    assert f"{case}  open  Anna Shaw ({name})" in at_base.run("cases").stderr
    at_base.told("hold", case, "--until", f"{NOW + timedelta(days=3):%Y-%m-%d}")
    (seen,) = at_base.told("cases")["cases"]
    assert (seen["case"], seen["state"], seen["people"]) == (case, "open, held", [name])


def test_each_round_renews_it_once_a_week_and_costs_nothing_between(at_base: Base) -> None:
    at_base.told("roster", "--publish")
    before = contents(at_base.root)
    at_base.told("serve", "--once")
    renewed(at_base, 6.9)
    assert contents(at_base.root) == before
    renewed(at_base, 7.1)
    first, second = signed(at_base)
    assert second.ends - first.ends > timedelta(days=7)


def test_a_store_from_before_gets_its_rosters_back_and_what_is_nobodys_goes(
    at_base: Base,
) -> None:
    at_base.told("roster", "--publish")
    renewed(at_base, 8)
    told = {n: d for n, d in contents(at_base.store).items() if n.startswith("service/roster/")}
    (at_base.store / roster_object(1)).unlink()
    (at_base.store / roster_object(2)).write_bytes(b"half")
    (at_base.store / roster_object(3)).mkdir()
    (at_base.store / roster_object(3) / "planted").write_bytes(b"rubbish")
    renewed(at_base, 8)
    there = {n: d for n, d in contents(at_base.store).items() if n.startswith("service/roster/")}
    assert there == told


def test_where_the_ledger_was_lost_the_numbers_go_on(at_base: Base) -> None:
    at_base.told("roster", "--publish")
    renewed(at_base, 8)
    shutil.rmtree(at_base.keys / "ledger")
    shutil.rmtree(at_base.keys / "roster")
    at_base.told("ledger", "--from-store")
    at_base.told("serve", "--once")
    assert [one.number for one in signed(at_base)][-1] == 3


def numbers(at_base: Base) -> list[int]:
    return [one.number for one in signed(at_base)]


def followed(at_base: Base, known: int) -> int:
    """The roster that a kit has after a contact that had this one before."""
    here = at_base.kit.home.roster_there
    here.unlink(missing_ok=True)
    if known:
        save(here, (at_base.keys / roster_object(known).removeprefix("service/")).read_bytes())
    at_base.kit.sync()
    return read_roster(here.read_bytes(), service().chain).number


@pytest.mark.parametrize("lost", [{1}, {2}, {3}, {1, 2}, {1, 2, 3}])
@pytest.mark.parametrize("there_too", [True, False])
def test_a_number_of_which_nothing_is_left_is_signed_anew(
    at_base: Base, lost: set[int], there_too: bool
) -> None:
    at_base.sent()
    for days in (0, 8, 16):
        (renewed if days else published)(at_base, days)
    for number in lost:
        (at_base.keys / "roster" / f"{number:06}").unlink()
        if there_too:
            (at_base.store / roster_object(number)).unlink()
    renewed(at_base, 16.1)
    assert numbers(at_base) == [1, 2, 3]
    assert followed(at_base, 0) == followed(at_base, 2) == 3
    before = contents(at_base.root)
    renewed(at_base, 16.1)
    assert contents(at_base.root) == before, "once, not each round"


def test_a_roster_that_could_not_be_written_down_takes_no_number(at_base: Base) -> None:
    published(at_base, 0)
    in_the_way = at_base.keys / "roster" / "000002" / "full"
    in_the_way.mkdir(parents=True)
    with pytest.raises(OSError, match="000002"):
        renewed(at_base, 8)
    shutil.rmtree(in_the_way.parent)
    assert numbers(at_base) == [1]
    renewed(at_base, 8)
    assert numbers(at_base) == [1, 2]


@pytest.mark.parametrize("also", [(), ("roster",)])
@pytest.mark.parametrize("hole", [None, 2])
def test_a_ledger_that_was_lost_leaves_no_kit_behind(
    at_base: Base, also: tuple[str, ...], hole: int | None
) -> None:
    at_base.sent()
    for days in (0, 8, 16):
        (renewed if days else published)(at_base, days)
    for folder in ("ledger", *also):
        shutil.rmtree(at_base.keys / folder)
    if hole:
        (at_base.store / roster_object(hole)).unlink()
    for days in (24, 24.1, 32):
        renewed(at_base, days)
    assert numbers(at_base) == [1, 2, 3, 4, 5]
    assert [followed(at_base, known) for known in range(5)] == [5] * 5


@pytest.mark.parametrize("name", ["0", "00000", "000001x", "000002.age", "9"])
def test_what_somebody_else_puts_there_takes_no_roster_along(at_base: Base, name: str) -> None:
    published(at_base, 0)
    renewed(at_base, 8)
    before = contents(at_base.store)
    (at_base.store / "service" / "roster" / name).write_bytes(b"rubbish")
    renewed(at_base, 8)
    assert contents(at_base.store) == before


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--called", "Anna"), "--called goes with"),
        (("--person", "practitioner-aaaaaaaaaaaaaaaa"), "enrol CARD first"),
        (("--kit", "aaaaaaaaaaaaaaaa"), "enrol kit.json first"),
        (("--lost-since", "never"), "goes with --kit"),
        (("--person", "x", "--kit", "y"), "one at a time"),
    ],
)
def test_what_cannot_be_meant_is_said_and_nothing_is_written(
    at_base: Base, words: tuple[str, ...], said: str
) -> None:
    done = at_base.run("roster", *words)
    assert (done.returncode, said in done.stderr) == (2, True), done.stderr
    assert not load_names(at_base.keys).people


def test_a_day_that_is_none_is_said(at_base: Base) -> None:
    done = at_base.run("roster", "--kit", at_base.kit.id, "--lost-since", "yesterday")
    assert (done.returncode, "is a day" in done.stderr) == (2, True)
