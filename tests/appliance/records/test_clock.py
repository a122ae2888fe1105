"""When the time can be believed."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from appliance.records.audit import Log
from appliance.records.clock import (
    EARLIEST,
    LARGEST_STEP,
    Judgement,
    Kept,
    Mark,
    Reading,
    Sources,
    Trust,
    Vouch,
    by_machine,
    disagrees,
    judge,
    raised,
    read_sources,
)
from appliance.records.files import Home, to_json
from appliance.vault.keys import PrivateKeys
from firmware.books import KitBooks
from firmware.timekeeper import Timekeeper

NOON = datetime(2027, 3, 1, 12, tzinfo=UTC)


def reading(wall: datetime = NOON, boot: str = "this", boottime: float = 1000.0) -> Reading:
    return Reading(wall, boot, boottime)


def vouch(at: datetime = NOON, boot: str = "this", boottime: float = 900.0) -> Vouch:
    return Vouch(kit="kit", time=at, boot=boot, boottime=boottime)


@pytest.mark.parametrize(
    ("case", "expected"),
    [
        ((reading(), None, None), Trust.DOUBTFUL),
        ((reading(wall=datetime(1970, 1, 1, tzinfo=UTC)), None, None), Trust.WRONG),
        ((reading(wall=NOON - timedelta(days=1)), None, Mark(highest=NOON)), Trust.WRONG),
        ((reading(), vouch(), None), Trust.TRUSTED),
        ((reading(wall=datetime(1970, 1, 1, tzinfo=UTC)), vouch(), None), Trust.TRUSTED),
        ((reading(), vouch(boot="another"), None), Trust.DOUBTFUL),
        ((reading(), vouch(boottime=1000.1), None), Trust.DOUBTFUL),
        ((reading(), vouch(at=EARLIEST - timedelta(days=1)), None), Trust.WRONG),
        ((reading(), vouch(), Mark(highest=NOON + timedelta(hours=1))), Trust.WRONG),
        ((reading(), vouch(), Mark(highest=NOON - LARGEST_STEP)), Trust.WRONG),
        (
            (reading(), vouch(), Mark(highest=NOON - LARGEST_STEP + timedelta(days=1))),
            Trust.TRUSTED,
        ),
    ],
)
def test_the_clock_table(case: tuple[Reading, Vouch | None, Mark | None], expected: Trust) -> None:
    found = judge(*case)
    assert found.trust is expected
    assert (found.now is not None) == (expected is Trust.TRUSTED)


def test_time_goes_on_from_the_vouch_whatever_the_wall_clock_does() -> None:
    later = reading(wall=NOON + timedelta(days=3650), boottime=960.0)
    assert judge(later, vouch(), None).now == NOON + timedelta(seconds=60)


def test_the_mark_rises_with_trusted_time_only() -> None:
    mark = Mark(highest=NOON)
    assert raised(mark, Judgement(Trust.DOUBTFUL)) == mark
    assert raised(mark, Judgement(Trust.TRUSTED, NOON - timedelta(1))) == mark
    assert raised(mark, Judgement(Trust.TRUSTED, NOON + timedelta(1))) == Mark(
        highest=NOON + timedelta(1)
    )
    assert raised(None, Judgement(Trust.TRUSTED, NOON)) == mark


# What a machine knows by itself.

KEPT = Kept(chip=5000, time=NOON - timedelta(days=30))
LATER = 5000 + 30 * 86400
"""What the chip counts at NOON."""
MARK = Mark(highest=NOON - timedelta(days=30))
NETWORK = Sources(from_network=True)
A_YEAR_ON = NOON + timedelta(days=365)
TEN_YEARS_ON = NOON + timedelta(days=3650)


@pytest.mark.parametrize(
    ("wall", "sources", "kept", "mark", "trust", "now"),
    [
        # The network's time, at base: the wall clock is right.
        (NOON, NETWORK, None, None, Trust.TRUSTED, NOON),
        (NOON, NETWORK, None, MARK, Trust.TRUSTED, NOON),
        (datetime(1970, 1, 1, tzinfo=UTC), NETWORK, None, None, Trust.WRONG, None),
        (NOON - timedelta(days=31), NETWORK, None, MARK, Trust.WRONG, None),
        (TEN_YEARS_ON, NETWORK, None, MARK, Trust.DOUBTFUL, None),
        # Anywhere else the wall clock alone says nothing.
        (NOON, Sources(), None, None, Trust.DOUBTFUL, None),
        (NOON, Sources(), KEPT, MARK, Trust.DOUBTFUL, None),
        (NOON - timedelta(days=31), Sources(), KEPT, MARK, Trust.WRONG, None),
        # A chip that went on counting; what the wall clock says is not asked.
        (NOON, Sources(chip=LATER), KEPT, MARK, Trust.TRUSTED, NOON),
        (A_YEAR_ON, Sources(chip=LATER), KEPT, MARK, Trust.TRUSTED, NOON),
        (datetime(1970, 1, 1, tzinfo=UTC), Sources(chip=LATER), KEPT, MARK, Trust.TRUSTED, NOON),
        (NOON, Sources(chip=5000), KEPT, MARK, Trust.TRUSTED, NOON - timedelta(days=30)),
        # A chip without a trusted reading, one that began again, one that ran away.
        (NOON, Sources(chip=LATER), None, MARK, Trust.DOUBTFUL, None),
        (NOON, Sources(chip=4999), KEPT, MARK, Trust.DOUBTFUL, None),
        (NOON, Sources(chip=0), KEPT, MARK, Trust.DOUBTFUL, None),
        (NOON, Sources(chip=LATER + 400 * 86400), KEPT, MARK, Trust.DOUBTFUL, None),
        (NOON, Sources(chip=1 << 62), KEPT, MARK, Trust.DOUBTFUL, None),
        # A chip that would go behind the mark.
        (NOON, Sources(chip=5001), KEPT, Mark(highest=NOON), Trust.DOUBTFUL, None),
        # At base the network comes before the chip.
        (A_YEAR_ON, Sources(True, LATER), KEPT, MARK, Trust.TRUSTED, A_YEAR_ON),
    ],
)
def test_what_a_machine_knows_by_itself(
    wall: datetime,
    sources: Sources,
    kept: Kept | None,
    mark: Mark | None,
    trust: Trust,
    now: datetime | None,
) -> None:
    assert judge(reading(wall), None, mark, sources, kept) == Judgement(trust, now)


def test_a_persons_word_comes_before_any_machine() -> None:
    other = Sources(from_network=True, chip=LATER)
    word = judge(reading(A_YEAR_ON), vouch(), MARK, other, KEPT)
    assert word.now == NOON + timedelta(seconds=100)
    assert disagrees(word, by_machine(reading(A_YEAR_ON), other, KEPT))
    assert not disagrees(word, by_machine(reading(NOON), other, KEPT))
    assert not disagrees(word, None)
    assert not disagrees(Judgement(Trust.DOUBTFUL), NOON)


def test_a_false_word_is_not_mended_by_a_machine() -> None:
    false = vouch(at=datetime(1999, 1, 1, tzinfo=UTC))
    assert judge(reading(), false, MARK, NETWORK, KEPT) == Judgement(Trust.WRONG)


@pytest.mark.parametrize("zone", ["Europe/London", "America/New_York"])
def test_time_that_changes_to_summer_or_winter_moves_nothing(zone: str) -> None:
    before = datetime(2027, 3, 28, 0, 59, tzinfo=UTC).astimezone(ZoneInfo(zone))
    word = vouch(at=before, boottime=0.0)
    for seconds in (59, 60, 61, 3600, 86400):
        found = judge(reading(boottime=float(seconds)), word, None).now
        assert found == before.astimezone(UTC) + timedelta(seconds=seconds)


def test_the_machine_is_asked_where_its_clocks_are(tmp_path: Path) -> None:
    synchronised, chip = tmp_path / "synchronized", tmp_path / "since_epoch"
    assert read_sources(True, synchronised, chip) == Sources()
    synchronised.touch()
    chip.write_text("12345\n")
    assert read_sources(True, synchronised, chip) == Sources(True, 12345)
    assert read_sources(False, synchronised, chip) == Sources(False, 12345)
    chip.write_text("nothing\n")
    assert read_sources(True, synchronised, chip) == Sources(True, None)


# The recorder's time, which goes on from what it once believed.


class Hands:
    """A machine whose clocks are set by hand."""

    def __init__(self, home: Home) -> None:
        self.wall, self.boot, self.boottime = NOON, "this", 1000.0
        self.sources = Sources()
        self.home = home
        self.start()

    def start(self) -> None:
        self.books = KitBooks(self.home)
        log = Log(self.home.log("recorder"), self)
        self.time = Timekeeper(self.books, self, log, lambda: self.sources)

    def read(self) -> Reading:
        return Reading(self.wall, self.boot, self.boottime)

    def monotonic(self) -> float:
        return self.boottime

    def boots_again(self, days: float, boot: str) -> None:
        """The kit lay switched off for so long; only a chip goes on."""
        if self.sources.chip is not None:
            self.sources = Sources(chip=self.sources.chip + int(days * 86400))
        self.boot, self.boottime = boot, 10.0
        self.start()

    def vouch_for(self, time: datetime) -> bool:
        word = Vouch(kit=self.books.kit, time=time, boot=self.boot, boottime=self.boottime)
        return self.time.vouch(KEYS.signer.sign(f"{to_json(word).decode()}\n"))


KEYS = PrivateKeys.generate("practitioner", x25519=True)
SERVICE = PrivateKeys.generate("service", x25519=True)


@pytest.fixture
def hands(tmp_path: Path) -> Hands:
    home = Home(tmp_path / "home", tmp_path / "run")
    home.prepare(home.recordings, home.permits)
    made = Hands(home)
    made.books.enrol(SERVICE.card(), KEYS.card())
    return made


def test_a_chip_that_was_set_by_a_persons_word_is_believed_after_a_month_in_a_bag(
    hands: Hands,
) -> None:
    hands.sources = Sources(chip=77)
    assert hands.time.read().trust is Trust.DOUBTFUL
    assert hands.vouch_for(NOON)
    hands.boots_again(30, "next")
    assert hands.time.read() == Judgement(Trust.TRUSTED, NOON + timedelta(days=30))
    hands.boots_again(500, "much later")
    assert hands.time.read().trust is Trust.DOUBTFUL


def test_a_kit_without_a_chip_asks_again_after_each_start(hands: Hands) -> None:
    assert hands.vouch_for(NOON)
    hands.boots_again(1, "next")
    assert hands.time.read().trust is Trust.DOUBTFUL


def test_a_wall_clock_that_jumps_after_it_was_believed_moves_nothing(hands: Hands) -> None:
    hands.sources = NETWORK
    assert hands.time.read() == Judgement(Trust.TRUSTED, NOON)
    for jump in (timedelta(days=3650), timedelta(days=-1), timedelta(hours=1)):
        hands.wall = NOON + jump
        hands.boottime += 60
        hands.sources = Sources()
        expected = NOON + timedelta(seconds=hands.boottime - 1000)
        assert hands.time.read() == Judgement(Trust.TRUSTED, expected)


def test_a_word_that_no_clock_bears_out_is_believed_and_the_page_is_told(hands: Hands) -> None:
    hands.sources = Sources(chip=77)
    hands.vouch_for(NOON)
    hands.boots_again(1, "next")
    assert hands.vouch_for(NOON + timedelta(days=2))
    assert hands.time.disagrees == NOON + timedelta(days=1)
    hands.boots_again(1, "the one after")
    assert hands.vouch_for(NOON + timedelta(days=3, seconds=60))
    assert hands.time.disagrees is None


@pytest.mark.parametrize(
    "time",
    [datetime(1970, 1, 1, tzinfo=UTC), NOON - timedelta(days=1), NOON + timedelta(days=3650)],
)
def test_a_word_for_an_impossible_time_is_not_believed(hands: Hands, time: datetime) -> None:
    assert hands.vouch_for(NOON)
    hands.boots_again(1, "next")
    hands.books.note_time(Judgement(Trust.TRUSTED, NOON + timedelta(hours=1)))
    assert not hands.vouch_for(time)
    assert hands.time.read().now is None
