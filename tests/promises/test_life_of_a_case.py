"""Whatever is done with a case and in whatever order: nobody opens it who is not of it, nothing is
filmed or shared that is not agreed to, and nothing goes before its time, under a hold or unseen."""

import functools
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

import msgspec
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from appliance.age.unsealing import Identity, unseal
from appliance.casework import copies, course, shares
from appliance.casework.clips import shelf
from appliance.casework.closing import withdraw
from appliance.casework.consent import Consent, Hold, Purpose, allows
from appliance.casework.course import CourseRefusal, course_of, standing, stops_filming
from appliance.casework.retention import Keeping, keeping, warn, warned_at
from appliance.casework.reviews import Review
from appliance.casework.withdrawal import lift_hold, place_hold
from appliance.errors import CaseWithdrawn, NoMatch, NotOpened
from appliance.protocol.case_record import held
from appliance.protocol.enrolment import Enrolled
from appliance.records.files import Home, new_id
from appliance.vault.cases import Cases, Details, Goal, Goals, OpenCase, open_case_identities
from appliance.vault.keys import PrivateKeys
from tests.appliance.casework.test_copies import consent, person, started
from tests.support import films
from tests.support.moments import keep_still

DAY, MINUTE = timedelta(days=1), timedelta(minutes=1)
LAST = ["as it is", "reviewed", "filmed again", "talked"]
"""What happened last before the work ended."""
KEPT = 60
"""Days for which films are kept after the work has ended."""
BEGAN = datetime(2026, 11, 21, 14, 5, tzinfo=UTC)
MEMORY = Path("/dev/shm")
"""Where there is one: a life writes hundreds of small files and waits for each."""
SERVICE = PrivateKeys.generate("service")
PEOPLE = [PrivateKeys.generate("practitioner") for _number in range(3)]
ALL = Enrolled(service=SERVICE.card(), practitioners=tuple(one.card() for one in PEOPLE))
SUPERVISOR = PrivateKeys.generate("practitioner")
VERIFIERS = [keys.signer.verifier for keys in PEOPLE]
SAID: list[Purpose] = ["filming", "supervisor", "copies"]


@functools.cache
def film() -> bytes:
    return films.film(60)


class Life(RuleBasedStateMachine):
    """The first practitioner acts unless they were asked to leave; then whoever is left does."""

    def __init__(self) -> None:
        super().__init__()
        self.place = tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None)
        home = Home(Path(self.place.name) / "home", Path(self.place.name) / "run")
        home.prepare(home.cases)
        self.home, self.cases = home, Cases(home)
        self._meet()

    def _meet(self) -> None:
        """A family and its case."""
        self.now = BEGAN
        details = Details(label="the family", check_word="lantern")
        self.id = self.cases.create(details, PEOPLE[0], SERVICE.chain, VERIFIERS).id
        self.directory = self.home.case(self.id)
        self.team, self.left = [PEOPLE[0]], list[PrivateKeys]()
        self.withdrawn = False
        self.filmed, self.reviewed = list[datetime](), BEGAN
        self.agreed_at, self.began_at = BEGAN, BEGAN
        self.ended: datetime | None = None
        self.warned: datetime | None = None
        """What the course is reckoned from here, apart from what the case itself says."""
        self.after_leaving: list[tuple[Path, list[PrivateKeys]]] = []
        """What was written since, and who must not open it."""

    def teardown(self) -> None:
        self.place.cleanup()

    def case(self) -> OpenCase:
        return self.cases.open(self.id, self.team[0], VERIFIERS)

    def is_open(self) -> bool:
        return not self.withdrawn

    def unseen(self) -> bool:
        return any(at > self.reviewed for at in self.filmed)

    @initialize()
    def begin(self) -> None:
        """So that there is something to share and something unseen in most lives."""
        self.talk_it_through(set(SAID))
        self.film()
        self.choose_a_moment()
        self.share("supervisor", 28)

    @precondition(lambda self: self.withdrawn)
    @rule()
    def another_family_comes(self) -> None:
        """So that a life which ends early is not all that an example has."""
        self._meet()
        self.begin()

    @rule(days=st.sampled_from([1, 7, 30, 61]))
    def time_passes(self, days: int) -> None:
        self.now += days * DAY
        shares.remove_what_is_over(self.directory, self.now)

    @precondition(is_open)
    @rule(said=st.sets(st.sampled_from(SAID)))
    def talk_it_through(self, said: set[Purpose]) -> None:
        case = self.case()
        self.now += MINUTE
        self.agreed_at = self.now
        agreed = consent(person("Alex", *sorted(said)), valid_until=self.now + 90 * DAY)
        case.write(msgspec.structs.replace(agreed, event_time=self.now))
        shares.end_what_is_not_agreed(case, self.now)

    @precondition(is_open)
    @rule()
    def set_a_goal(self) -> None:
        case = self.case()
        case.write(Goals(goals=(Goal(id=new_id(), text="To wait for her"),)))
        newest = max((case.directory / "documents").glob("goals-*.age"))
        self.after_leaving.append((newest, list(self.left)))

    @precondition(is_open)
    @rule()
    def choose_a_moment(self) -> None:
        if len(shelf(self.case()).aside) < 2:
            keep_still(self.case(), new_id(), film(), self.now)

    @precondition(is_open)
    @rule(purpose=st.sampled_from(shares.PURPOSES), days=st.sampled_from([1, 28]))
    def share(self, purpose: shares.SharedFor, days: int) -> None:
        case, kept = self.case(), shelf(self.case()).aside
        found = case.read_with_digest(Consent)
        film = started(found[1], self.now) if found else None
        agreed = allows(found[0] if found else None, purpose, self.now)
        assert (copies.judge(case, film, self.now, purpose) is None) is agreed
        if agreed and kept:
            until = self.now + days * DAY
            shared = shares.share(case, kept, SUPERVISOR.card(), "S", purpose, self.now, until)
            for sealed in (self.directory / "shares" / shared.id).glob("*.age"):
                assert unseal(sealed.read_bytes(), [SUPERVISOR.identity])
                self._stays_closed(sealed, [*case.identities, SERVICE.identity])

    @precondition(lambda self: not self.withdrawn and len(self.team) < 3)
    @rule()
    def somebody_joins(self) -> None:
        newcomer = next(keys for keys in PEOPLE if keys not in self.team)
        self.cases.admit(self.case(), newcomer.card(), ALL)
        self.team.append(newcomer)
        if newcomer in self.left:
            # Let in again, they have everything again.
            self.left.remove(newcomer)
            for _path, barred in self.after_leaving:
                if newcomer in barred:
                    barred.remove(newcomer)
        secrets = open_case_identities(self.directory, [newcomer.identity])
        for path in (self.directory / "documents").glob("*.age"):
            assert unseal(path.read_bytes(), secrets), "what was there before they came"

    @precondition(lambda self: not self.withdrawn and len(self.team) > 1)
    @rule(first=st.booleans())
    def somebody_leaves(self, first: bool) -> None:
        leaves, asks = (self.team[0], self.team[-1]) if first else (self.team[-1], self.team[0])
        opened = self.cases.open(self.id, asks, VERIFIERS)
        self.cases.release(opened, leaves.card().name, ALL)
        self.team.remove(leaves)
        self.left.append(leaves)

    @precondition(is_open)
    @rule()
    def film(self) -> None:
        """It is judged as the page and the import judge it, and made if nothing stops it."""
        case = self.case()
        self.now += MINUTE
        expected = None
        if self.ended is not None:
            expected = CourseRefusal.ENDED
        elif self.agreed_at <= self.began_at and self.began_at > BEGAN:
            expected = CourseRefusal.NEEDS_CONSENT
        assert stops_filming(course_of(case), case.read(Consent)) is expected
        if expected is None:
            self.filmed.append(self.now)

    @precondition(is_open)
    @rule(shown=st.booleans())
    def review(self, shown: bool) -> None:
        """With moments of the films, or a talk in which nothing was looked at."""
        self.now += MINUTE
        if shown:
            self.reviewed = self.now
        held_now = Review(
            id=new_id(),
            held=self.now,
            shown=(new_id(),) if shown else (),
            strengths="x",
            next="",
            ratings=(),
            go_on="yes",
        )
        self.case().write(held_now, held_now.id)

    @precondition(is_open)
    @rule()
    def end_or_top_up(self) -> None:
        case = self.case()
        self.now += MINUTE
        if self.ended is None:
            course.end(case, self.now, "", KEPT)
            self.ended = self.now
        else:
            course.top_up(case, self.now)
            self.ended, self.warned, self.began_at = None, None, self.now
        assert course_of(case).ended == self.ended

    @precondition(is_open)
    @rule()
    def hold_or_lift(self) -> None:
        if held(self.directory):
            lift_hold(self.directory, PEOPLE[0].signer, self.now)
        else:
            hold = Hold(role="lead", reason="x", review=self.now + 30 * DAY, at=self.now)
            place_hold(self.case(), hold, SERVICE.chain)

    @precondition(is_open)
    @rule()
    def the_kit_looks_after_itself(self) -> None:
        case, over = self.case(), self.ended is not None and self.now >= self.ended + KEPT * DAY
        stands = standing(case, self.filmed, 14 * DAY)
        found = keeping(stands, held(self.directory), warned_at(case), 14 * DAY, self.now)
        heard = self.warned is not None and self.now >= self.warned + DAY
        may_go = over and heard and not held(self.directory) and not self.unseen()
        assert (found is Keeping.DUE) is may_go
        if found is Keeping.SOON:
            warn(case, self.now)
            self.warned = self.warned or self.now
        elif found is Keeping.DUE:
            self._withdraw("retention")

    @precondition(is_open)
    @rule(
        last=st.sampled_from(LAST),
        hold=st.booleans(),
        back=st.booleans(),
    )
    def their_time_comes(self, last: str, hold: bool, back: bool) -> None:
        """The work ends, and the kit is unlocked again and again until long after. The family may
        come `back` for a top-up once it was warned of."""
        if last != "as it is":
            self.review(last != "talked")
        if last == "filmed again":
            self.film()
        if hold and not held(self.directory):
            self.hold_or_lift()
        for days in (KEPT - 10, KEPT - 8, KEPT, KEPT + 2):
            if self.withdrawn:
                return
            if self.ended is None:
                self.end_or_top_up()
            assert self.ended
            self.now = max(self.now, self.ended + days * DAY)
            shares.remove_what_is_over(self.directory, self.now)
            self.the_kit_looks_after_itself()
            if back and days == KEPT - 8 and not self.withdrawn:
                self.end_or_top_up()

    @precondition(is_open)
    @rule(hold=st.booleans())
    def the_family_withdraws(self, hold: bool) -> None:
        if hold and not held(self.directory):
            self.hold_or_lift()
        self._withdraw("family")

    def _withdraw(self, why: Literal["family", "retention"]) -> None:
        withdraw(self.directory, self.team[0], new_id(), self.now, (), why)
        self.withdrawn = True

    @invariant()
    def only_who_works_with_the_family_opens_it(self) -> None:
        for keys in PEOPLE:
            try:
                self.cases.open(self.id, keys, VERIFIERS)
            except CaseWithdrawn:
                assert self.withdrawn
            except NotOpened:
                assert keys not in self.team
            else:
                assert keys in self.team and not self.withdrawn

    @invariant()
    def who_left_opens_nothing_that_followed(self) -> None:
        for path, barred in self.after_leaving:
            for keys in barred:
                if path.exists() and keys not in self.team:
                    secrets = open_case_identities(self.directory, [keys.identity])
                    self._stays_closed(path, secrets)

    @staticmethod
    def _stays_closed(path: Path, secrets: Sequence[Identity]) -> None:
        try:
            unseal(path.read_bytes(), secrets)
        except NoMatch:
            return
        raise AssertionError("it opens for somebody whom it was not sealed to")

    @invariant()
    def nothing_is_shared_without_agreement_or_beyond_its_day(self) -> None:
        there = {path.name for path in (self.directory / "shares").glob("*") if path.is_dir()}
        if self.withdrawn:
            assert not there
            return
        case = self.case()
        for found in shares.shares_of(case):
            if found.id in there:
                assert self.now < found.until
                agreed = case.read(Consent)
                assert agreed and found.purpose in agreed.purposes

    @invariant()
    def a_hold_keeps_everything_that_was_not_shared(self) -> None:
        if held(self.directory):
            assert list(self.directory.glob("identity-*.age"))
            assert list((self.directory / "documents").glob("*.age"))
        elif self.withdrawn:
            assert not list(self.directory.glob("identity-*.age"))


def everything_holds(life: Life) -> None:
    life.only_who_works_with_the_family_opens_it()
    life.who_left_opens_nothing_that_followed()
    life.nothing_is_shared_without_agreement_or_beyond_its_day()
    life.a_hold_keeps_everything_that_was_not_shared()


@pytest.mark.parametrize("last", LAST)
@pytest.mark.parametrize("hold", [False, True])
@pytest.mark.parametrize("back", [False, True])
def test_however_their_time_comes_nothing_goes_that_must_stay(
    last: str, hold: bool, back: bool
) -> None:
    """Walks find wrong orders and miss edges: each way of ending is walked once for certain."""
    life = Life()
    try:
        life.begin()
        life.somebody_joins()
        life.somebody_leaves(False)
        life.set_a_goal()
        for _again_and_for_the_first_time in range(2):
            life.somebody_joins()
        life.their_time_comes(last, hold, back)
        everything_holds(life)
        if life.is_open():
            life.the_family_withdraws(hold)
        everything_holds(life)
    finally:
        life.teardown()


TestLife = Life.TestCase
TestLife.settings = settings(
    max_examples=40,
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
