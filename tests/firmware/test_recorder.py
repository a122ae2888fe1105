"""The state machine: every state answers every event, and no path leads around the light."""

import itertools
import random
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from appliance.film.manifest import EndReason
from appliance.protocol.permits import Permit, PressRefusal
from appliance.protocol.status import Pattern, State
from appliance.records.files import new_id
from firmware.light import CAPTURING
from firmware.recorder import (
    COUNTDOWN,
    HOLD_REMOVES,
    LAST_MINUTE,
    LONGEST_OPEN,
    LONGEST_PRESS,
    LONGEST_STOP,
    PRESENCE_COUNTS_AFTER,
    PRESENCE_LASTS,
    PREVIEW_LASTS,
    REFUSAL_SHOWN,
    REMOVABLE_FOR,
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
    OpenPreview,
    PresenceAsked,
    Pressed,
    PreviewAsked,
    Recorder,
    Refuse,
    Released,
    RemoveFilm,
    Show,
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
        self.ends = float("inf")
        """When what is agreed to ends."""
        self.pattern = Pattern.OFF
        self.camera_open_since: float | None = None
        self.film: Permit | None = None
        self.stuck = False
        self.films = 0
        self.kept: set[str] = set()
        """Films on the card."""
        self.dead = False
        self.done: list[Effect] = []
        self.fail: Iterator[bool] = itertools.repeat(False)
        self.broken: type[Effect] | None = None
        self.carry_out(self.recorder.start())

    def happens(self, event: Event) -> None:
        if not self.dead:
            self.now = event.at
            self.carry_out(self.recorder.handle(event))

    def carry_out(self, effects: list[Effect]) -> None:
        for effect in effects:
            self.done.append(effect)
            fails = next(self.fail) or isinstance(effect, self.broken or ())
            if fails and not isinstance(effect, Judge | Die):
                self.stuck = self.stuck or isinstance(effect, CloseCamera)
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
                self.happens(
                    Judged(self.now, self.permit or PressRefusal.NO_PERMIT, pressed, self.left)
                )
            case BeginFilm(permit):
                assert self.film is None, "a film was begun before the last one was closed"
                assert permit is self.permit, "a film was begun without a permit in force"
                self.film = permit
            case OpenCamera():
                assert self.film is not None, "the camera opened without a film"
                self.camera_open_since = self.now
            case OpenPreview(sound):
                assert self.permit is not None, "framing began without a permit in force"
                assert sound == self.permit.sound, "framing hears what was not agreed to"
                assert self.film is None, "framing began before the last film was closed"
                self.camera_open_since = self.now
            case CloseCamera():
                self.camera_open_since = None
            case FinishFilm():
                assert self.camera_open_since is None or self.stuck, "closed with the camera open"
            case RemoveFilm(recording):
                assert recording == str(self.films), "not the last film was removed"
                self.kept.remove(recording)
            case Die():
                self.camera_open_since, self.dead = None, True
            case _:
                pass

    def hold(self) -> None:
        if self.camera_open_since is not None:
            assert self.pattern in CAPTURING, (
                f"the camera is open and the light shows {self.pattern}"
            )
            longest = PREVIEW_LASTS
            if self.recorder.state is not State.PREVIEW:
                assert self.recorder.state in (State.FILMING, State.STOPPING)
                assert self.film is not None
                longest = self.film.limit
            assert self.now < min(self.camera_open_since + longest, self.ends) or self.stuck

    @property
    def left(self) -> float:
        return max(self.ends - self.now, 0.0)

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

    def press_when_asked(self, held: float = 0.2) -> None:
        self.wait(PRESENCE_COUNTS_AFTER)
        self.press(held)

    def arm(self, permit: Permit | None = PERMIT, left: float = 7200) -> None:
        self.permit = permit
        if self.camera_open_since is None:
            self.ends = self.now + left
        self.happens(Judged(self.now, permit or PressRefusal.NO_PERMIT, pressed=False))

    def frame(self) -> None:
        """The page asks to see what the camera sees."""
        self.happens(PreviewAsked(self.now, self.permit or PressRefusal.NO_PERMIT, self.left))

    def close_film(self, fault: EndReason | None = None) -> None:
        name = ""
        if self.film is not None:
            self.film = None
            self.films += 1
            name = str(self.films)
            self.kept.add(name)
        self.happens(FilmClosed(self.now, fault, name))

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


EVENTS = [
    Pressed,
    Released,
    Ticked,
    Judged,
    StopAsked,
    PresenceAsked,
    PreviewAsked,
    Broke,
    Failed,
    FilmClosed,
]


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


@pytest.mark.parametrize("left", [0.5, 59.0, 61.0, 299.9])
def test_a_film_ends_with_the_agreement_it_was_made_under_and_not_before(left: float) -> None:
    world = World()
    world.arm(left=left + 0.2)
    world.press()
    began = world.now
    assert world.state is State.FILMING
    world.wait(left - 0.001)
    assert world.camera_open_since is not None
    assert world.pattern is Pattern.LAST_MINUTE
    world.wait(0.001)
    assert world.camera_open_since is None and world.now == pytest.approx(began + left)
    assert FinishFilm(EndReason.LIMIT) in world.done


def test_framing_ends_with_the_agreement_too() -> None:
    world = World()
    world.arm(left=30)
    world.frame()
    world.wait(29.9)
    assert world.camera_open_since is not None
    world.wait(0.1)
    assert world.camera_open_since is None


@pytest.mark.parametrize("framing", [True, False])
def test_nothing_is_seen_when_nothing_is_left_of_the_agreement(framing: bool) -> None:
    world = World()
    world.arm(left=0.2)
    if framing:
        world.wait(0.2)
        world.frame()
    else:
        world.press()
    assert world.count(OpenCamera) == world.count(OpenPreview) == 0
    assert world.recorder.reason == "expired"


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
    world.press_when_asked()
    assert Confirm("request") in world.done
    assert world.state is State.IDLE


def test_a_knock_and_a_hold_confirm_nothing() -> None:
    world = World()
    world.happens(PresenceAsked(world.now, "request"))
    world.press_when_asked(0.01)
    world.press(5)
    assert world.count(Confirm) == 0
    assert world.state is State.PRESENCE


@pytest.mark.parametrize("after", [0.0, 0.01, 0.5, PRESENCE_COUNTS_AFTER - 0.001])
def test_a_press_that_begins_too_soon_after_the_question_confirms_nothing_and_is_told(
    after: float,
) -> None:
    """A hand that was on its way for another reason lets nobody in."""
    for held in (0.2, LONGEST_PRESS):
        world = World()
        world.happens(PresenceAsked(world.now, "request"))
        world.wait(after)
        world.happens(Pressed(world.now))
        world.wait(held)
        world.happens(Released(world.now, held))
        assert world.count(Confirm) == 0
        assert world.recorder.reason == "too-soon" and world.pattern is Pattern.PRESENCE
        # The question stands, and the next press answers it.
        world.press_when_asked()
        assert Confirm("request") in world.done and world.recorder.reason == ""


def test_a_press_begins_to_count_when_it_was_asked_for_long_enough() -> None:
    world = World()
    world.happens(PresenceAsked(world.now, "request"))
    world.wait(PRESENCE_COUNTS_AFTER)
    world.press(SHORTEST_PRESS)
    assert Confirm("request") in world.done


@pytest.mark.parametrize("before", [0.0, 0.01, 1.0])
@pytest.mark.parametrize("held", [SHORTEST_PRESS, 0.2, LONGEST_PRESS, 2.0])
def test_a_press_that_began_before_the_question_does_not_confirm_it(
    before: float, held: float
) -> None:
    world = World()
    world.happens(Pressed(world.now))
    world.wait(before)
    world.happens(PresenceAsked(world.now, "request"))
    world.wait(PRESENCE_COUNTS_AFTER)
    world.happens(Released(world.now, held))
    assert world.count(Confirm) == 0 and world.state is State.PRESENCE


def test_a_press_for_the_first_question_does_not_confirm_the_second() -> None:
    world = World()
    world.happens(PresenceAsked(world.now, "first"))
    world.wait(PRESENCE_COUNTS_AFTER + 1)
    world.happens(Pressed(world.now))
    world.happens(PresenceAsked(world.now, "second"))
    world.happens(Released(world.now + 0.2, 0.2))
    world.wait(PRESENCE_COUNTS_AFTER)
    assert world.count(Confirm) == 0


def test_while_the_kit_is_armed_a_press_films_and_confirms_nothing() -> None:
    world = World()
    world.arm()
    world.happens(PresenceAsked(world.now, "request"))
    assert world.done[-1] == Decline("request", timed_out=False)
    assert (world.state, world.pattern) == (State.READY, Pattern.READY)
    world.wait(PRESENCE_COUNTS_AFTER)
    world.press()
    assert world.state is State.FILMING and world.count(Confirm) == 0


@pytest.mark.parametrize("after", [0.1, PRESENCE_COUNTS_AFTER + 0.1])
def test_a_kit_that_is_armed_while_it_asks_declines_and_films_at_the_next_press(
    after: float,
) -> None:
    world = World()
    world.happens(PresenceAsked(world.now, "request"))
    world.wait(after)
    world.arm(None)
    assert world.pattern is Pattern.PRESENCE
    world.arm()
    assert Decline("request", timed_out=False) in world.done
    assert (world.state, world.pattern) == (State.READY, Pattern.READY)
    world.press()
    assert world.state is State.FILMING and world.count(Confirm) == 0


def test_presence_is_over_after_a_minute_and_not_before() -> None:
    world = World()
    world.happens(PresenceAsked(world.now, "request"))
    world.wait(PRESENCE_LASTS - 0.001)
    assert world.state is State.PRESENCE
    world.wait(0.001)
    assert Decline("request", timed_out=True) in world.done
    assert world.state is State.IDLE


# --- Framing ------------------------------------------------------------------------------------


def framing() -> World:
    world = World()
    world.arm()
    world.frame()
    assert world.state is State.PREVIEW
    return world


def test_framing_is_under_its_own_light_which_comes_first_and_goes_last() -> None:
    world = framing()
    world.happens(StopAsked(world.now, EndReason.PAGE))
    assert world.state is State.READY
    order = [e for e in world.done if isinstance(e, Show | OpenPreview | CloseCamera)]
    assert order[2:] == [
        Show(Pattern.PREVIEW),
        OpenPreview(sound=True),
        CloseCamera(),
        Show(Pattern.OFF),
        Show(Pattern.READY),
    ]
    assert world.count(BeginFilm) == 0


def test_without_a_permit_nobody_sees_anything_and_it_is_refused() -> None:
    world = World()
    world.frame()
    assert (world.state, world.pattern) == (State.REFUSED, Pattern.REFUSED)
    assert world.recorder.reason == "no-permit"
    assert world.count(OpenPreview) == 0


def test_a_short_press_closes_the_preview_at_its_edge_and_films_on_its_release() -> None:
    world = framing()
    world.happens(Pressed(world.now + 1))
    assert world.camera_open_since is None
    assert world.count(OpenCamera) == 0
    world.happens(Released(world.now + 0.2, 0.2))
    assert world.state is State.FILMING
    assert world.count(OpenCamera) == 1


@pytest.mark.parametrize("held", [0.049, 1.51, 8.0])
def test_a_knock_or_a_hold_closes_the_preview_and_films_nothing(held: float) -> None:
    world = framing()
    world.press(held)
    assert world.state is State.READY
    assert world.camera_open_since is None
    assert world.count(OpenCamera) == 0


def test_a_press_that_began_before_the_preview_starts_nothing() -> None:
    world = World()
    world.arm()
    world.happens(Pressed(world.now))
    world.frame()
    world.happens(Released(world.now + 0.3, 0.3))
    assert world.state is State.PREVIEW
    assert world.count(OpenCamera) == 0


def test_the_preview_ends_after_two_minutes_and_not_before() -> None:
    world = framing()
    world.wait(PREVIEW_LASTS - 0.001)
    assert world.camera_open_since is not None
    world.wait(0.001)
    assert world.camera_open_since is None
    assert world.state is State.READY


@pytest.mark.parametrize(
    "permit", [None, msgspec.structs.replace(PERMIT, id=new_id(), case=new_id())]
)
def test_the_preview_ends_when_its_permit_does(permit: Permit | None) -> None:
    world = framing()
    world.arm()
    assert world.state is State.PREVIEW
    world.arm(permit)
    assert world.camera_open_since is None
    assert world.state is (State.READY if permit else State.IDLE)


def test_what_breaks_ends_the_preview_and_shows() -> None:
    world = framing()
    world.happens(Broke(world.now, EndReason.LIGHT_FAILED))
    assert world.camera_open_since is None
    assert (world.state, world.recorder.reason) == (State.FAULT, "light-failed")


# --- Removing -----------------------------------------------------------------------------------


def filmed() -> World:
    """A film was made and ended by a press that was let go."""
    world = filming()
    world.press()
    world.close_film()
    assert world.kept == {"1"}
    return world


def test_the_press_that_ends_a_film_removes_it_when_it_is_held_on() -> None:
    world = filming()
    world.happens(Pressed(world.now))
    world.close_film()
    world.wait(HOLD_REMOVES - COUNTDOWN)
    assert (world.state, world.pattern) == (State.REMOVING, Pattern.REMOVING)
    world.wait(COUNTDOWN - 0.001)
    assert world.kept == {"1"}
    world.wait(0.001)
    assert world.kept == set()
    assert world.state is State.READY
    world.happens(Released(world.now + 3, 8))
    assert world.count(OpenCamera) == 1


@pytest.mark.parametrize("tenth", range(50))
def test_letting_go_at_any_moment_before_keeps_the_film(tenth: int) -> None:
    world = filmed()
    world.happens(Pressed(world.now))
    began = world.now
    world.wait(min(tenth / 10, HOLD_REMOVES - 0.001))
    world.happens(Released(world.now, world.now - began))
    world.wait(60)
    assert world.kept == {"1"}
    assert world.count(RemoveFilm) == 0


def test_holding_removes_the_last_film_within_two_minutes_and_no_later() -> None:
    world = filmed()
    world.wait(REMOVABLE_FOR + 0.001)
    world.happens(Pressed(world.now))
    world.wait(30)
    assert world.kept == {"1"}
    world.happens(Released(world.now, 30))
    world = filmed()
    world.wait(REMOVABLE_FOR)
    world.happens(Pressed(world.now))
    world.wait(HOLD_REMOVES)
    assert world.kept == set()


def test_only_the_last_film_is_removed_and_only_once() -> None:
    world = filmed()
    world.press()
    world.press()
    world.close_film()
    assert world.kept == {"1", "2"}
    for _ in range(3):
        world.happens(Pressed(world.now))
        world.wait(20)
        world.happens(Released(world.now, 20))
    assert world.kept == {"1"}


def test_a_film_that_was_begun_and_not_made_leaves_the_one_before_alone() -> None:
    world = filmed()
    world.fail = itertools.chain([False], itertools.repeat(True, 1), itertools.repeat(False))
    world.press()
    world.film = None
    world.close_film()
    assert world.state is State.FAULT
    world.happens(Pressed(world.now))
    world.wait(20)
    assert world.kept == {"1"}


def test_a_countdown_that_cannot_be_shown_removes_nothing() -> None:
    world = filmed()
    world.happens(Pressed(world.now))
    world.fail = itertools.chain([True], itertools.repeat(False))
    world.wait(20)
    assert world.state is State.FAULT
    assert world.kept == {"1"}


@pytest.mark.parametrize(
    "event",
    [
        StopAsked(0, EndReason.SHUTDOWN),
        Broke(0, EndReason.LIGHT_FAILED),
        Pressed(0),
    ],
)
def test_whatever_comes_between_keeps_the_film(event: Event) -> None:
    world = filmed()
    world.happens(Pressed(world.now))
    world.wait(HOLD_REMOVES - 0.01)
    assert world.state is State.REMOVING
    world.happens(msgspec.structs.replace(event, at=world.now))
    world.wait(60)
    assert world.kept == {"1"}


def test_a_film_that_ended_for_a_fault_can_be_removed_too() -> None:
    world = filming()
    world.happens(Broke(world.now + 1, EndReason.FRAMES_STOPPED))
    world.close_film()
    assert world.state is State.FAULT
    world.happens(Pressed(world.now))
    world.wait(HOLD_REMOVES)
    assert world.kept == set()


def test_a_press_in_answer_to_the_page_removes_nothing_however_long() -> None:
    world = filmed()
    world.arm(None)
    world.happens(PresenceAsked(world.now, "request"))
    world.wait(PRESENCE_COUNTS_AFTER)
    world.happens(Pressed(world.now))
    world.wait(PRESENCE_LASTS + 20)
    assert world.kept == {"1"}


# --- Presence and faults ------------------------------------------------------------------------


def test_a_camera_that_cannot_be_closed_leaves_a_signed_film_and_ends_the_process() -> None:
    world = filming()
    world.fail = itertools.chain([True], itertools.repeat(False))
    world.happens(Pressed(world.now + 1))
    assert world.pattern is Pattern.FILMING
    assert FinishFilm(EndReason.FAULT) in world.done
    assert not world.dead
    world.close_film()
    assert world.dead
    assert world.pattern is Pattern.FILMING
    assert world.recorder.reason == "fault"


def test_a_camera_that_cannot_be_closed_does_not_wait_for_a_slow_card() -> None:
    world = filming()
    world.fail = itertools.chain([True], itertools.repeat(False))
    world.happens(Pressed(world.now + 1))
    world.wait(LONGEST_OPEN - 0.001)
    assert not world.dead
    world.wait(0.001)
    assert world.dead


def test_a_preview_that_cannot_be_closed_ends_the_process_under_its_light() -> None:
    world = framing()
    world.fail = itertools.chain([True], itertools.repeat(False))
    world.happens(Pressed(world.now + 1))
    assert world.dead
    assert world.pattern is Pattern.PREVIEW


def test_a_second_request_for_presence_takes_the_place_of_the_first() -> None:
    world = World()
    world.happens(PresenceAsked(world.now, "first"))
    world.happens(PresenceAsked(world.now, "second"))
    world.press_when_asked()
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


@pytest.mark.parametrize(
    ("permit", "told"),
    [(PERMIT, "too-hot"), (msgspec.structs.replace(PERMIT, id=new_id()), "")],
)
def test_why_a_press_was_refused_is_told_until_another_permit_comes(
    permit: Permit, told: str
) -> None:
    world = World()
    world.arm()
    world.happens(Judged(world.now, PressRefusal.TOO_HOT, pressed=True))
    assert (world.state, world.recorder.reason) == (State.REFUSED, "too-hot")
    world.permit = permit
    world.wait(REFUSAL_SHOWN)
    assert (world.state, world.recorder.reason) == (State.READY, told)


def test_the_permit_that_came_last_is_the_one_in_force() -> None:
    world = World()
    world.arm()
    other = msgspec.structs.replace(PERMIT, id=new_id())
    world.arm(other)
    assert world.recorder.permit is other


def test_a_film_begins_without_what_was_told_before_and_the_last_one_stays() -> None:
    world = filming()
    world.press()
    world.close_film()
    assert world.recorder.removable == "1"
    world.happens(Judged(world.now, PressRefusal.TOO_HOT, pressed=True))
    world.wait(REFUSAL_SHOWN)
    assert world.recorder.reason == "too-hot"
    world.press()
    assert (world.state, world.recorder.reason) == (State.FILMING, "")
    assert world.recorder.removable == ""


def test_framing_begins_without_what_was_told_before() -> None:
    world = World()
    world.arm()
    world.happens(Judged(world.now, PressRefusal.TOO_HOT, pressed=True))
    world.wait(REFUSAL_SHOWN)
    world.frame()
    assert (world.state, world.recorder.reason) == (State.PREVIEW, "")


def test_the_last_minute_of_every_film_is_shown() -> None:
    world = filming()
    for _film in range(2):
        world.wait(PERMIT.limit - LAST_MINUTE - 1)
        assert world.pattern is Pattern.FILMING
        world.wait(2)
        assert world.pattern is Pattern.LAST_MINUTE
        world.wait(LAST_MINUTE)
        world.close_film()
        world.press()


def test_the_light_is_told_once_of_the_last_minute() -> None:
    world = filming()
    world.wait(PERMIT.limit - LAST_MINUTE)
    for _tick in range(5):
        world.wait(1)
    assert world.done.count(Show(Pattern.LAST_MINUTE)) == 1


def test_a_button_that_was_held_before_framing_removes_nothing_after_it() -> None:
    world = filming()
    world.press()
    world.close_film()
    world.happens(Pressed(world.now))
    world.frame()
    world.happens(StopAsked(world.now, EndReason.PAGE))
    assert world.state is State.READY
    world.wait(2 * HOLD_REMOVES)
    assert world.kept == {"1"} and world.state is State.READY


def test_a_button_that_was_held_before_a_press_was_asked_for_removes_nothing_after_it() -> None:
    world = filming()
    world.press()
    world.permit = None
    world.close_film()
    world.happens(Pressed(world.now))
    world.happens(PresenceAsked(world.now, "request"))
    world.wait(PRESENCE_LASTS)
    assert (world.state, world.kept) == (State.IDLE, {"1"})
    world.wait(2 * HOLD_REMOVES)
    assert (world.state, world.kept) == (State.IDLE, {"1"})


def test_the_countdown_begins_when_it_is_due_and_no_sooner() -> None:
    world = filming()
    world.press()
    world.close_film()
    world.happens(Pressed(world.now))
    world.wait(HOLD_REMOVES - COUNTDOWN - 0.5)
    assert world.state is State.READY
    world.wait(0.5)
    assert world.state is State.REMOVING


def test_a_press_that_ends_framing_leaves_nothing_to_wait_for() -> None:
    world = World()
    world.arm()
    world.frame()
    assert world.recorder.due is not None
    world.happens(Pressed(world.now))
    assert (world.state, world.recorder.due) == (State.READY, None)


def test_a_film_that_could_not_be_closed_shows_as_a_fault() -> None:
    world = filming()
    world.happens(Pressed(world.now + 1))
    world.close_film(EndReason.DISK_FAILED)
    assert world.state is State.FAULT
    assert world.recorder.reason == "disk-failed"


def test_what_breaks_while_a_film_is_closed_is_shown_after_it() -> None:
    world = filming()
    world.happens(Pressed(world.now + 1))
    world.happens(Broke(world.now, EndReason.SOUND_FAILED))
    world.close_film()
    assert (world.state, world.recorder.reason) == (State.FAULT, "sound-failed")


@pytest.mark.parametrize("fault", [None, EndReason.SOUND_FAILED])
def test_a_film_that_is_never_closed_says_what_was_wrong_first(fault: EndReason | None) -> None:
    world = filming()
    world.happens(Broke(world.now, fault) if fault else Pressed(world.now))
    world.wait(LONGEST_STOP)
    assert world.done[-1] == Die(fault or EndReason.DISK_FAILED)


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
    world.happens(Judged(world.now, PressRefusal.EXPIRED, pressed=False))
    assert world.recorder.reason == "expired"
    world.happens(Judged(world.now, PressRefusal.NO_PERMIT, pressed=False))
    assert world.recorder.reason == ""


def test_a_permit_that_is_over_is_not_told_of_as_if_it_were_in_force() -> None:
    world = World()
    world.arm()
    assert world.recorder.permit is PERMIT
    world.happens(Judged(world.now, PressRefusal.EXPIRED, pressed=False))
    assert world.recorder.permit is None


def test_what_a_press_was_told_stays_until_there_is_a_permit() -> None:
    world = World()
    world.press()
    world.wait(60)
    world.happens(Judged(world.now, PressRefusal.NO_PERMIT, pressed=False))
    assert world.recorder.reason == "no-permit"


def test_a_new_permit_clears_what_was_refused_before() -> None:
    world = World()
    world.happens(Judged(world.now, PressRefusal.EXPIRED, pressed=False))
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


EFFECTS = [kind for kind in Effect.__subclasses__() if kind not in (Judge, Die)]


@pytest.mark.parametrize("broken", EFFECTS)
def test_an_effect_that_always_fails_leaves_nothing_open_and_nothing_lit_falsely(
    broken: type[Effect],
) -> None:
    world = World()
    world.broken = broken

    def closed() -> None:
        if world.state is State.STOPPING:
            world.close_film()

    things: list[Callable[[], None]] = [
        world.press,
        world.arm,
        world.frame,
        world.press,
        closed,
        lambda: world.happens(PresenceAsked(world.now, "request")),
        world.press,
        world.arm,
        world.press,
        lambda: world.happens(Pressed(world.now)),
        closed,
        lambda: world.wait(HOLD_REMOVES),
    ]
    told = set()
    for thing in things:
        thing()
        told.add(world.recorder.reason)
        world.hold()
        world.wait(1)
    world.wait(LONGEST_STOP + PREVIEW_LASTS)
    assert world.camera_open_since is None
    assert world.state not in (State.FILMING, State.PREVIEW)
    if world.count(broken):
        assert world.dead or "fault" in told
    # Without its place on the card or its light there is no film.
    if broken in (Show, BeginFilm):
        assert world.count(RemoveFilm) == 0


def random_event(dice: random.Random, world: World) -> None:
    """Something that may happen, at any time, sensible or not."""
    what = dice.randrange(15)
    now = world.now
    if what == 0:
        world.wait(dice.choice([0.01, 0.3, 1, 2.5, 30, 61, 200]))
    elif what in (1, 2):
        world.press(dice.choice([0.01, 0.05, 0.2, 1.5, 1.6, 4]))
    elif what == 12:
        world.frame()
    elif what == 13:
        world.happens(Pressed(now))
        world.wait(dice.choice([1.5, 3, 4.9, 5, 9]))
        world.happens(Released(world.now, world.now - now))
    elif what == 3:
        world.happens(Pressed(now))
    elif what == 4:
        world.happens(Released(now, dice.choice([0.01, 0.2, 3])))
    elif what in (5, 6):
        world.arm(dice.choice([PERMIT, PERMIT, None]), dice.choice([5, 250, 3600, 3600]))
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
    films = framed = removed = 0
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
        framed += world.count(OpenPreview)
        removed += world.count(RemoveFilm)
    # A walk that never films would hold nothing.
    assert films > 150 and framed > 150 and removed > 20


def test_the_page_of_the_states_is_drawn_from_this_table() -> None:
    """If this fails: python tools/recorder_states.py"""
    assert recorder_states.PAGE.read_text() == recorder_states.page()
