"""The clock of tests: it moves when told."""

from datetime import UTC, datetime, timedelta

from appliance.records.clock import Reading

NOON = datetime(2027, 3, 1, 12, tzinfo=UTC)


class FakeClock:
    """Moves only when told. `read().boottime` and `monotonic()` go together."""

    def __init__(self, wall: datetime = NOON) -> None:
        self.wall, self.boot, self.seconds = wall, "this boot", 1000.0

    def read(self) -> Reading:
        return Reading(self.wall, self.boot, self.seconds)

    def monotonic(self) -> float:
        return self.seconds

    def advance(self, seconds: float) -> None:
        self.seconds += seconds
        self.wall += timedelta(seconds=seconds)


class HurriedClock(FakeClock):
    """A second later whenever it is asked: who paces by it is always late, and so never waits."""

    def monotonic(self) -> float:
        self.advance(1)
        return self.seconds
