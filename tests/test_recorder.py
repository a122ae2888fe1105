"""The state machine: every state answers every event, and no path leads around the light."""

import itertools
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from appliance.files import new_id
from appliance.film import EndReason
from appliance.permits import Permit, Refusal
from firmware.light import CAPTURING
from firmware.recorder import (
    LAST_MINUTE,
    LONGEST_PRESS,
    LONGEST_STOP,
    PRESENCE_LASTS,
    REFUSAL_SHOWN,
    SHORTEST_PRESS,
    TABLE,
    BeginFilm,
    Broke,
    CloseCamera,
    Confirm,
    Decline,
    Die,
    Effect,
    Event,
    Failed,
    FilmClosed,
    FinishFilm,
    Judge,
    Judged,
    OpenCamera,
    Pattern,
    PresenceAsked,
    Pressed,
    Recorder,
    Refuse,
    Released,
    Show,
    State,
    StopAsked,
    Ticked,
)
from tools import recorder_states

NOON = datetime(2027, 3, 1, 12, tzinfo=UTC)
PERMIT = Permit(
    id=new_id(),
    kit=new_id(),
    case=new_id(),
    recipient="age1",
    consent="0" * 64,
    kind="visit",
    limit=300,
    sound=True,
    films=3,
    boot="this boot",
    not_before=NOON,
    not_after=NOON + timedelta(hours=1),
)


class World:
    """Carries out effects on a lamp, a camera and a film that are only remembered.

    Holds what must be true at every moment, whichever effects fail.
    """

    def __init__(self, recorder: Recorder | None = None) -> None:
        self.recorder = recorder or Recorder()
        self.now = 1000.0
        self.permit: Permit | None = None
        self.pattern = Pattern.OFF
        self.camera_open_since: float | None = None
        self.film: Permit | None = None
        self.dead = False
        self.done: list[Effect] = []
        self.fail: Iterator[bool] = itertools.repeat(False)
        self.carry_out(self.recorder.start())

    def happens(self, event: Event) -> None:
        if not self.dead:
            self.now = event.at
            self.carry_out(self.recorder.handle(event))

    def carry_out(self, effects: list[Effect]) -> None:
        for effect in effects:
            self.done.append(effect)
            if next(self.fail) and not isinstance(effect, Judge | Die):
                self.happens(Failed(self.now, effect, EndReason.FAULT))
                return
            self.do(effect)
            self.hold()
            if self.dead:
                return

    def do(self, effect: Effect) -> None:
        match effect:
            case Show(pattern):
                self.pattern = pattern
            case Judge(pressed):
                self.happens(Judged(self.now, self.permit or Refusal.NO_PERMIT, pressed))
            case BeginFilm(permit):
                assert self.film is None, "a film was begun before the last one was closed"
                assert permit is self.permit, "a film was begun without a permit in force"
                self.film = permit
            case OpenCamera():
                assert self.film is not None, "the camera opened without a film"
                self.camera_open_since = self.now
            case CloseCamera():
                self.camera_open_since = None
            case FinishFilm():
                assert self.camera_open_since is None, "a film was closed with the camera open"
            case Die():
                self.camera_open_since, self.dead = None, True
            case _:
                pass

    def hold(self) -> None:
        if self.camera_open_since is not None:
            assert self.pattern in CAPTURING, (
                f"the camera is open and the light shows {self.pattern}"
            )
            assert self.recorder.state in (State.FILMING, State.STOPPING)
            assert self.film is not None and self.now < self.camera_open_since + self.film.limit

    def wait(self, seconds: float) -> None:
        """Let time pass, with every tick that is due."""
        end = self.now + seconds
        while self.recorder.due is not None and self.now < self.recorder.due <= end:
            self.happens(Ticked(self.recorder.due))
        self.now = max(self.now, end)
        self.happens(Ticked(self.now))

    def press(self, held: float = 0.2) -> None:
        self.happens(Pressed(self.now))
        self.happens(Released(self.now + held, held))

    def arm(self, permit: Permit | None = PERMIT) -> None:
        self.permit = permit
        self.happens(Judged(self.now, permit or Refusal.NO_PERMIT, pressed=False))

    def close_film(self, fault: EndReason | None = None) -> None:
        self.film = None
        self.happens(FilmClosed(self.now, fault))

    def count(self, kind: type[Effect]) -> int:
        return sum(isinstance(effect, kind) for effect in self.done)

    @property
    def state(self) -> State:
        return self.recorder.state


def filming() -> World:
    world = World()
    world.arm()
    world.press()
    assert world.state is State.FILMING
    return world


EVENTS = [Pressed, Released, Ticked, Judged, StopAsked, PresenceAsked, Broke, Failed, FilmClosed]


def test_every_state_answers_every_event() -> None:
    assert set(EVENTS) == set(Event.__subclasses__())
    assert set(TABLE) == set(itertools.product(State, EVENTS))


def test_without_a_permit_a_press_opens_no_camera_and_is_refused() -> None:
    world = World()
    world.press()
    assert world.state is State.REFUSED
    assert world.pattern is Pattern.REFUSED
    assert world.recorder.reason == "no-permit"
    assert world.count(OpenCamera) == world.count(BeginFilm) == 0


def test_the_light_comes_first_and_goes_last() -> None:
    world = filming()
    world.press()
    world.close_film()
    order = [e for e in world.done if isinstance(e, Show | BeginFilm | OpenCamera | CloseCamera)]
    assert order[2:] == [
        Show(Pattern.FILMING),
        BeginFilm(PERMIT),
        OpenCamera(),
        CloseCamera(),
        Show(Pattern.OFF),
        Show(Pattern.OFF),
        Show(Pattern.READY),
    ]


@pytest.mark.parametrize(
    ("held", "films"),
    [(0.0499, 0), (SHORTEST_PRESS, 1), (0.2, 1), (LONGEST_PRESS, 1), (1.5001, 0), (60.0, 0)],
)
def test_only_a_short_press_starts_a_film(held: float, films: int) -> None:
    world = World()
    world.arm()
    world.press(held)
    assert world.count(OpenCamera) == films
    assert world.state is (State.FILMING if films else State.READY)


def test_a_press_starts_a_film_on_its_release_and_not_before() -> None:
    world = World()
    world.arm()
    world.happens(Pressed(world.now))
    world.wait(0.5)
    assert world.state is State.READY
    world.happens(Released(world.now, 0.5))
    assert world.state is State.FILMING


def test_a_press_ends_a_film_at_its_edge() -> None:
    world = filming()
    world.happens(Pressed(world.now + 5))
    assert world.state is State.STOPPING
    assert world.camera_open_since is None
    assert FinishFilm(EndReason.BUTTON) in world.done


def test_letting_go_after_a_stop_does_not_start_the_next_film() -> None:
    world = filming()
    world.happens(Pressed(world.now + 5))
    world.close_film()
    assert world.state is State.READY
    world.happens(Released(world.now + 0.3, 0.3))
    assert world.state is State.READY
    assert world.count(OpenCamera) == 1


def test_a_press_that_began_before_the_kit_was_armed_does_not_start_a_film() -> None:
    world = World()
    world.happens(Pressed(world.now))
    world.arm()
    world.happens(Released(world.now + 0.3, 0.3))
    assert world.count(OpenCamera) == 0
    assert world.state is State.READY


def test_a_permit_that_comes_with_the_press_makes_ready_and_does_not_film() -> None:
    world = World()
    world.permit = PERMIT
    world.press()
    assert world.state is State.READY
    assert world.count(OpenCamera) == 0


def test_a_permit_that_is_gone_at_the_press_films_nothing() -> None:
    world = World()
    world.arm()
    world.permit = None
    world.press()
    assert world.state is State.REFUSED
    assert world.count(OpenCamera) == 0


def test_a_film_ends_at_its_limit_and_not_before() -> None:
    world = filming()
    began = world.recorder.deadline - PERMIT.limit
    world.happens(Ticked(began + PERMIT.limit - 0.001))
    assert world.state is State.FILMING
    world.happens(Ticked(began + PERMIT.limit))
    assert world.state is State.STOPPING
    assert FinishFilm(EndReason.LIMIT) in world.done


def test_a_film_never_starts_again_by_itself() -> None:
    world = filming()
    world.wait(PERMIT.limit)
    world.close_film()
    world.wait(10_000)
    assert world.count(OpenCamera) == 1
    assert world.state is State.READY


def test_the_last_minute_shows_for_the_last_minute() -> None:
    world = filming()
    began = world.recorder.deadline - PERMIT.limit
    world.happens(Ticked(began + PERMIT.limit - LAST_MINUTE - 0.001))
    assert world.pattern is Pattern.FILMING
    world.wait(0.001)
    assert world.pattern is Pattern.LAST_MINUTE


@pytest.mark.parametrize("why", [EndReason.PAGE, EndReason.WITHDRAWN, EndReason.SHUTDOWN])
def test_anyone_may_stop_a_film(why: EndReason) -> None:
    world = filming()
    world.happens(StopAsked(world.now + 1, why))
    assert world.camera_open_since is None
    assert FinishFilm(why) in world.done


def test_a_refusal_is_shown_for_two_seconds_and_presses_meanwhile_do_nothing() -> None:
    world = World()
    world.press()
    world.wait(REFUSAL_SHOWN - 0.3)
    world.press()
    assert world.state is State.REFUSED
    world.wait(0.3)
    assert world.state is State.IDLE
    assert world.count(Refuse) == 1


def test_a_short_press_confirms_presence() -> None:
    world = World()
    world.happens(PresenceAsked(world.now, "request"))
    assert world.pattern is Pattern.PRESENCE
    world.press()
    assert Confirm("request") in world.done
    assert world.state is State.IDLE


def test_a_knock_and_a_hold_confirm_nothing() -> None:
    world = World()
    world.happens(PresenceAsked(world.now, "request"))
    world.press(0.01)
    world.press(5)
    assert world.count(Confirm) == 0
    assert world.state is State.PRESENCE


def test_a_press_in_presence_films_nothing_though_the_kit_is_armed() -> None:
    world = World()
    world.arm()
    world.happens(PresenceAsked(world.now, "request"))
    world.press()
    assert world.count(OpenCamera) == 0
    assert world.state is State.READY


def test_presence_is_over_after_a_minute_and_not_before() -> None:
    world = World()
    world.happens(PresenceAsked(world.now, "request"))
    world.wait(PRESENCE_LASTS - 0.001)
    assert world.state is State.PRESENCE
    world.wait(0.001)
    assert Decline("request", timed_out=True) in world.done
    assert world.state is State.IDLE


def test_a_second_request_for_presence_takes_the_place_of_the_first() -> None:
    world = World()
    world.happens(PresenceAsked(world.now, "first"))
    world.happens(PresenceAsked(world.now, "second"))
    world.press()
    assert [e for e in world.done if isinstance(e, Confirm | Decline)] == [
        Decline("first", timed_out=False),
        Confirm("second"),
    ]


def test_nobody_asks_for_presence_while_a_film_is_made() -> None:
    world = filming()
    world.happens(PresenceAsked(world.now, "request"))
    assert world.state is State.FILMING
    assert Decline("request", timed_out=False) in world.done


def test_a_part_that_breaks_ends_the_film_and_shows_until_a_press() -> None:
    world = filming()
    world.happens(Broke(world.now + 1, EndReason.FRAMES_STOPPED))
    assert world.camera_open_since is None
    assert FinishFilm(EndReason.FRAMES_STOPPED) in world.done
    world.close_film()
    assert (world.state, world.pattern) == (State.FAULT, Pattern.FAULT)
    assert world.recorder.reason == "frames-stopped"
    world.wait(3600)
    assert world.state is State.FAULT
    world.press()
    assert world.state is State.READY
    assert world.count(OpenCamera) == 1


def test_a_film_that_could_not_be_closed_shows_as_a_fault() -> None:
    world = filming()
    world.happens(Pressed(world.now + 1))
    world.close_film(EndReason.DISK_FAILED)
    assert world.state is State.FAULT
    assert world.recorder.reason == "disk-failed"


def test_a_film_that_is_never_closed_ends_the_process() -> None:
    world = filming()
    world.happens(Pressed(world.now + 1))
    world.wait(LONGEST_STOP - 0.001)
    assert not world.dead
    world.wait(0.001)
    assert world.dead


def test_a_power_cut_shows_until_the_next_film() -> None:
    world = World(Recorder(recovered=True))
    assert world.pattern is Pattern.RECOVERED
    world.arm()
    world.press()
    world.press()
    world.permit = None
    world.close_film()
    assert world.pattern is Pattern.OFF


def test_why_a_permit_does_not_count_is_told_while_it_is_there() -> None:
    world = World()
    world.happens(Judged(world.now, Refusal.EXPIRED, pressed=False))
    assert world.recorder.reason == "expired"
    world.happens(Judged(world.now, Refusal.NO_PERMIT, pressed=False))
    assert world.recorder.reason == ""


def test_a_permit_that_is_over_is_not_told_of_as_if_it_were_in_force() -> None:
    world = World()
    world.arm()
    assert world.recorder.permit is PERMIT
    world.happens(Judged(world.now, Refusal.EXPIRED, pressed=False))
    assert world.recorder.permit is None


def test_what_a_press_was_told_stays_until_there_is_a_permit() -> None:
    world = World()
    world.press()
    world.wait(60)
    world.happens(Judged(world.now, Refusal.NO_PERMIT, pressed=False))
    assert world.recorder.reason == "no-permit"


def test_a_new_permit_clears_what_was_refused_before() -> None:
    world = World()
    world.happens(Judged(world.now, Refusal.EXPIRED, pressed=False))
    assert world.recorder.reason == "expired"
    world.arm()
    assert world.recorder.reason == ""


@pytest.mark.parametrize("failing", range(12))
def test_whichever_effect_fails_the_camera_is_off_before_the_light(failing: int) -> None:
    world = World()
    world.arm()
    world.fail = (n == failing for n in itertools.count())
    world.press()
    world.wait(1)
    if world.state is State.FILMING:
        world.press()
    if world.state is State.STOPPING and not world.dead:
        assert world.count(FinishFilm) >= 1
        world.close_film()
    assert world.dead or world.state in (State.READY, State.IDLE, State.FAULT)
    assert world.camera_open_since is None


def random_event(dice: random.Random, world: World) -> None:
    """Something that may happen, at any time, sensible or not."""
    what = dice.randrange(13)
    now = world.now
    if what == 0:
        world.wait(dice.choice([0.01, 0.3, 1, 2.5, 30, 61, 200]))
    elif what in (1, 2):
        world.press(dice.choice([0.01, 0.05, 0.2, 1.5, 1.6, 4]))
    elif what == 3:
        world.happens(Pressed(now))
    elif what == 4:
        world.happens(Released(now, dice.choice([0.01, 0.2, 3])))
    elif what in (5, 6):
        world.arm(dice.choice([PERMIT, PERMIT, None]))
    elif what == 7:
        world.happens(StopAsked(now, dice.choice([EndReason.PAGE, EndReason.WITHDRAWN])))
    elif what == 8:
        world.happens(PresenceAsked(now, "request"))
    elif what == 9:
        world.happens(Broke(now, dice.choice(list(EndReason))))
    elif what in (10, 11):
        if world.state is State.STOPPING:
            world.close_film(dice.choice([None, None, EndReason.DISK_FAILED]))
    else:
        world.happens(Ticked(now))


@pytest.mark.parametrize("failures", [0.0, 0.02, 0.2])
def test_random_walks_never_film_unlit_unasked_or_too_long(failures: float) -> None:
    films = 0
    for seed in range(300):
        dice = random.Random(seed)
        world = World()
        world.fail = (dice.random() < failures for _ in itertools.count())
        for _ in range(200):
            random_event(dice, world)
            world.hold()
            if world.dead:
                break
        films += world.count(OpenCamera)
    # A walk that never films would hold nothing.
    assert films > 200


def test_the_page_of_the_states_is_drawn_from_this_table() -> None:
    """If this fails: python tools/recorder_states.py"""
    assert recorder_states.PAGE.read_text() == recorder_states.page()
