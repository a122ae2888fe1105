"""The state machine: every rule of when the camera may run stands in this file and nowhere else.

Pure: no thread, no clock, no pin. Events say what happened and when (monotonic seconds); `handle`
answers with effects, which the runner carries out in order. One that fails comes back as `Failed`,
and those behind it are left undone. The table is total: a missing row is a bug, "nothing" is a row.
"""

from collections.abc import Callable

import msgspec

from appliance.film.manifest import EndReason
from appliance.protocol.permits import Permit, PressRefusal
from appliance.protocol.status import Pattern, State

SHORTEST_PRESS = 0.05
LONGEST_PRESS = 1.5
"""Seconds: what is shorter was a knock, what is longer was a hand or a bag on the button."""

HOLD_REMOVES = 5.0
"""Seconds of holding on after which the last film goes."""
COUNTDOWN = 3.0
"""The last of them, in which the light quickens: letting go keeps the film."""
REMOVABLE_FOR = 120.0
"""Seconds from a film's end in which holding on removes it."""

PREVIEW_LASTS = 120.0
REFUSAL_SHOWN = 2.0
PRESENCE_LASTS = 60.0
PRESENCE_COUNTS_AFTER = 1.5
"""Seconds for which a press must have been asked for when it begins: a hand that was on its way to
film, or to stop, lets nobody in."""
LAST_MINUTE = 60.0
LONGEST_STOP = 20.0
"""Seconds that the card may take to finish a film; then the process ends and starts again."""
LONGEST_OPEN = 2.0
"""The same while a camera that could not be closed may still see."""


# --- What can happen ----------------------------------------------------------------------------


class Event(msgspec.Struct, frozen=True):
    at: float
    """Monotonic seconds."""


class Pressed(Event, frozen=True):
    """The button went down."""


class Released(Event, frozen=True):
    """The button came up, `held` seconds after it went down."""

    held: float


class Ticked(Event, frozen=True):
    """Time has passed; comes at `Recorder.due` and now and then before."""


class Judged(Event, frozen=True):
    """The gate's answer; `pressed` if it was asked because somebody pressed."""

    answer: Permit | PressRefusal
    pressed: bool
    left: float = 0.0
    """Seconds until what was agreed to ends; nobody is filmed for a moment more than that."""


class StopAsked(Event, frozen=True):
    """Somebody or something other than the button ends the film."""

    why: EndReason


class PresenceAsked(Event, frozen=True):
    """The page asks for something that needs a press: `request` is its id."""

    request: str


class PreviewAsked(Event, frozen=True):
    """The page asks to see what the camera sees; with the gate's answer."""

    answer: Permit | PressRefusal
    left: float = 0.0
    """As in `Judged`."""


class Broke(Event, frozen=True):
    """A part failed by itself."""

    fault: EndReason


class Failed(Event, frozen=True):
    """An effect could not be carried out."""

    effect: "Effect"
    fault: EndReason


class FilmClosed(Event, frozen=True):
    """The film is finished on the card, or, with a `fault`, is not."""

    fault: EndReason | None = None
    film: str = ""
    """The recording that holding the button may still remove; '' for none."""


# --- What is to be done -------------------------------------------------------------------------


class Effect(msgspec.Struct, frozen=True):
    """An order to the runner."""


class Show(Effect, frozen=True):
    """Show a pattern; done when its first edge is."""

    pattern: Pattern


class Judge(Effect, frozen=True):
    """Ask the gate; it answers with `Judged` before anything else happens.

    After a press the space for the whole film is held, until a film has ended or did not begin.
    """

    pressed: bool = False


class Refuse(Effect, frozen=True):
    """Tell and log why a press was refused."""

    reason: PressRefusal


class BeginFilm(Effect, frozen=True):
    """Count the film against its permit and make its place on the card, durably."""

    permit: Permit


class OpenCamera(Effect, frozen=True):
    pass


class OpenPreview(Effect, frozen=True):
    """Open the camera for framing: what it sees is shown and kept nowhere.

    With `sound` the microphone opens, too: how loud it is is told, and nothing of it is kept.
    """

    sound: bool


class CloseCamera(Effect, frozen=True):
    """Done when the sensor is off. Nothing happens if it was not on."""


class FinishFilm(Effect, frozen=True):
    """Seal and sign what there is; `FilmClosed` follows, also if no film had been begun."""

    why: EndReason


class RemoveFilm(Effect, frozen=True):
    """Take a film off the card: somebody who was there held the button."""

    recording: str


class Confirm(Effect, frozen=True):
    """Somebody was there and pressed: carry out the request."""

    request: str


class Decline(Effect, frozen=True):
    """The request will not be carried out."""

    request: str
    timed_out: bool


class Die(Effect, frozen=True):
    """End the process: it is the one way left to close the camera."""

    fault: EndReason


# --- The machine --------------------------------------------------------------------------------


class Recorder:
    """What the kit is doing. One thread only."""

    def __init__(self, recovered: bool = False) -> None:
        """`recovered`: films that a power cut left open were closed; the light says so."""
        self.state = State.IDLE
        self.permit: Permit | None = None
        """While ready: the one in force. While filming: the one that is filmed under."""
        self.deadline = 0.0
        """Monotonic second at which the film under way ends."""
        self.lasts = 0.0
        """Seconds from its press to then: its limit, or less where the agreement ends before."""
        self.removable = ""
        """The last film, while nobody has begun another."""
        self.removable_until = 0.0
        """Monotonic second until which holding the button removes it."""
        self.reason = ""
        """Code of what the practitioner should know: a refusal, a fault, or ''."""
        self._standing = False
        """The reason is not of a press or a fault; it goes with the permit that it speaks of."""
        self._recovered = recovered
        self._due: float | None = None
        """When this state needs a `Ticked`."""
        self._pressed_in: State | None = None
        self._held_since: float | None = None
        """When the button went down, while holding it may remove a film."""
        self._request = ""
        self._asked = 0.0
        self._why = EndReason.BUTTON
        self._fault: EndReason | None = None
        self._last_minute = False
        self._stuck = False
        """The camera could not be closed."""

    @property
    def due(self) -> float | None:
        """When a `Ticked` is needed next."""
        times = (self._due, self._countdown_due)
        return min((time for time in times if time is not None), default=None)

    def handle(self, event: Event) -> list[Effect]:
        """What follows from an event."""
        return TABLE[self.state, type(event)](self, event)

    def start(self) -> list[Effect]:
        """What to do first."""
        return self._rest()

    # Every handler below stands in the table; the first line of each says what it means.

    def _nothing(self, event: Event) -> list[Effect]:
        """Nothing."""
        return []

    def _note_press(self, event: Event) -> list[Effect]:
        """A press begins; it counts only if it also ends here, or is held on after a film."""
        self._pressed_in, self._held_since = self.state, event.at
        return []

    def _note_answer(self, event: Event) -> list[Effect]:
        """A press begins that may be the one asked for."""
        self._pressed_in = self.state
        return []

    def _say_too_soon(self, event: Released) -> list[Effect]:
        """A press that began before it was asked for long enough does nothing, and it is told."""
        if self._pressed_in is not None:
            self.reason, self._standing = PressRefusal.TOO_SOON.value, True
        return self._let_go(event)

    def _let_go(self, event: Event) -> list[Effect]:
        """The press is over."""
        self._pressed_in = self._held_since = None
        return []

    def _ask_gate(self, event: Released) -> list[Effect]:
        """A short press asks the gate."""
        return [Judge(pressed=True)] if self._short_press(event) else []

    def _become_ready(self, event: Judged) -> list[Effect]:
        """A permit in force makes it ready; a press that came too early is refused."""
        if isinstance(event.answer, PressRefusal):
            if event.pressed:
                return self._refuse(event.at, event.answer)
            self._tell_why_not(event.answer)
            return []
        if self.permit is None or self.permit.id != event.answer.id:
            self.reason = ""
        self.permit = event.answer
        self.state = State.READY
        return [Show(Pattern.READY)]

    def _start_if_agreed(self, event: Judged) -> list[Effect]:
        """After a press with a permit in force: film. Without one: no longer ready."""
        if isinstance(event.answer, PressRefusal):
            if event.pressed:
                return self._refuse(event.at, event.answer)
            self._tell_why_not(event.answer)
            self.state = State.IDLE
            return [self._show_idle()]
        self.permit = event.answer
        if not event.pressed:
            return []
        if event.left <= 0:
            return self._refuse(event.at, PressRefusal.EXPIRED)
        self.state = State.FILMING
        # Computed once, here: whatever the kit believes of the time later, the film ends then.
        self.lasts = min(event.answer.limit, event.left)
        self.deadline = event.at + self.lasts
        self._due = max(event.at, self.deadline - LAST_MINUTE)
        self.reason = self.removable = ""
        self._last_minute = False
        self._recovered = False
        # Light first: nobody is ever filmed by a kit that looks asleep.
        return [Show(Pattern.FILMING), BeginFilm(event.answer), OpenCamera()]

    def _open_preview(self, event: PreviewAsked) -> list[Effect]:
        """With a permit in force the camera opens for framing, under its own light.

        So does the microphone, where the film is to have sound."""
        if isinstance(event.answer, PressRefusal):
            return self._refuse(event.at, event.answer)
        if event.left <= 0:
            return self._refuse(event.at, PressRefusal.EXPIRED)
        self.permit = event.answer
        self.state = State.PREVIEW
        self.reason = ""
        self._due = event.at + min(PREVIEW_LASTS, event.left)
        self._pressed_in = self._held_since = None
        return [Show(Pattern.PREVIEW), OpenPreview(event.answer.sound)]

    def _close_by_button(self, event: Pressed) -> list[Effect]:
        """Any press closes the camera at once; a short one films when it is let go."""
        self.state = self._pressed_in = State.READY
        self._due = None
        return [CloseCamera(), Show(Pattern.READY)]

    def _close_when_asked(self, event: StopAsked) -> list[Effect]:
        """Close the camera for another reason than the button."""
        return [CloseCamera(), *self._rest()]

    def _close_if_due(self, event: Ticked) -> list[Effect]:
        """Framing has lasted long enough."""
        return [CloseCamera(), *self._rest()] if self._is_due(event) else []

    def _close_if_not_agreed(self, event: Judged) -> list[Effect]:
        """Without this very permit in force: close the camera."""
        return [] if self.permit == event.answer else [CloseCamera(), *self._rest()]

    def _close_on_fault(self, event: Broke | Failed) -> list[Effect]:
        """A part failed: close the camera, then show the fault."""
        return [CloseCamera(), *self._break(event)]

    def _stop_by_button(self, event: Pressed) -> list[Effect]:
        """Any press stops at once."""
        self._note_press(event)
        return self._stop(event.at, EndReason.BUTTON)

    def _stop_when_asked(self, event: StopAsked) -> list[Effect]:
        """Stop for another reason than the button."""
        return self._stop(event.at, event.why)

    def _stop_if_due(self, event: Ticked) -> list[Effect]:
        """Stop at the limit, or where the agreement ends; the light counts the last minute."""
        if event.at >= self.deadline:
            return self._stop(event.at, EndReason.LIMIT)
        if not self._last_minute and event.at >= self.deadline - LAST_MINUTE:
            self._last_minute = True
            self._due = self.deadline
            return [Show(Pattern.LAST_MINUTE)]
        return []

    def _stop_on_fault(self, event: Broke | Failed) -> list[Effect]:
        """Stop because a part failed; what is sealed stays."""
        self._fault = event.fault
        return self._stop(event.at, event.fault)

    def _go_on_stopping(self, event: Failed) -> list[Effect]:
        """A step of stopping failed: what is sealed is signed, then the process ends if it must."""
        self._fault = event.fault
        match event.effect:
            case CloseCamera():
                # The light stays as it is: the camera may still see.
                self._stuck, self._why = True, event.fault
                self._due = event.at + LONGEST_OPEN
                return [FinishFilm(self._why)]
            case Show():
                return [FinishFilm(self._why)]
            case _:
                return self._end(event.fault)

    def _note_fault(self, event: Broke) -> list[Effect]:
        """Remember the fault and go on stopping."""
        self._fault = event.fault
        return []

    def _after_film(self, event: FilmClosed) -> list[Effect]:
        """The film is closed: rest, or show the fault that ended it."""
        self._fault = self._fault or event.fault
        self.removable, self.removable_until = event.film, event.at + REMOVABLE_FOR
        if self._stuck:
            return self._end(self._fault or EndReason.CAMERA_FAILED)
        return self._settle()

    def _die_if_due(self, event: Ticked) -> list[Effect]:
        """A film that cannot be finished in time ends the process."""
        return self._end(self._fault or EndReason.DISK_FAILED) if self._is_due(event) else []

    def _count_down_if_held(self, event: Ticked) -> list[Effect]:
        """Held on after a film: the light counts down to its end."""
        if self._countdown_due is None or event.at < self._countdown_due:
            return []
        self.state = State.REMOVING
        self._pressed_in = self._held_since = None
        self._due = event.at + COUNTDOWN
        return [Show(Pattern.REMOVING)]

    def _remove_if_due(self, event: Ticked) -> list[Effect]:
        """Held to the end of the countdown: the film goes."""
        if not self._is_due(event):
            return []
        film, self.removable = self.removable, ""
        return [RemoveFilm(film), *self._rest()]

    def _keep(self, event: Event) -> list[Effect]:
        """The film stays."""
        return self._rest()

    def _ask_presence(self, event: PresenceAsked) -> list[Effect]:
        """Somebody must press within a minute, and not at once."""
        earlier = self._decline_what_waits()
        self.state = State.ASKED
        self._request, self._asked = event.request, event.at
        self._due = event.at + PRESENCE_COUNTS_AFTER
        self._pressed_in = self._held_since = None
        return [*earlier, Show(Pattern.PRESENCE)]

    def _let_press_count(self, event: Ticked) -> list[Effect]:
        """It was asked for long enough: a press that begins from now on counts."""
        if self._is_due(event):
            self.state = State.PRESENCE
            self._due = self._asked + PRESENCE_LASTS
        return []

    def _be_armed_instead(self, event: Judged) -> list[Effect]:
        """With a permit in force a press films, and does nothing that the page asks for."""
        if isinstance(event.answer, PressRefusal):
            return []
        declined = self._decline_what_waits()
        self._pressed_in = self._due = None
        return [*declined, *self._become_ready(event)]

    def _confirm(self, event: Released) -> list[Effect]:
        """A short press confirms what the page asked for."""
        if self._pressed_in is State.ASKED:
            return self._say_too_soon(event)
        return [Confirm(self._request), *self._rest()] if self._short_press(event) else []

    def _give_up_presence(self, event: Ticked) -> list[Effect]:
        """Nobody pressed in time."""
        if not self._is_due(event):
            return []
        return [Decline(self._request, timed_out=True), *self._rest()]

    def _decline(self, event: PresenceAsked) -> list[Effect]:
        """Not now."""
        return [Decline(event.request, timed_out=False)]

    def _rest_if_due(self, event: Ticked) -> list[Effect]:
        """The refusal has been shown."""
        return self._rest() if self._is_due(event) else []

    def _break(self, event: Broke | Failed) -> list[Effect]:
        """A part failed while nothing was filmed; a camera that stays open ends the process."""
        if isinstance(event, Failed) and isinstance(event.effect, CloseCamera):
            return self._end(event.fault)
        self._fault = event.fault
        return [*self._decline_what_waits(), *self._settle()]

    def _die_if_open(self, event: Failed) -> list[Effect]:
        """A camera that stays open ends the process."""
        return self._break(event) if isinstance(event.effect, CloseCamera) else []

    def _acknowledge(self, event: Released) -> list[Effect]:
        """A short press takes note of the fault."""
        return self._rest() if self._short_press(event) else []

    # --- parts of handlers ----------------------------------------------------------------------

    def _is_due(self, event: Ticked) -> bool:
        """What this state waits for has come."""
        return self._due is not None and event.at >= self._due

    @property
    def _countdown_due(self) -> float | None:
        """When the countdown begins, if the button is held on until then."""
        if self.state not in (State.IDLE, State.READY, State.FAULT) or not self.removable:
            return None
        if self._held_since is None or self._held_since > self.removable_until:
            return None
        return self._held_since + HOLD_REMOVES - COUNTDOWN

    def _decline_what_waits(self) -> list[Effect]:
        """Nobody will press for it any more."""
        waits = self.state in (State.ASKED, State.PRESENCE)
        return [Decline(self._request, timed_out=False)] if waits else []

    def _tell_why_not(self, answer: PressRefusal) -> None:
        """No permit is in force. Why not is told while there is one that does not count."""
        self.permit = None
        if answer not in (PressRefusal.NO_PERMIT, PressRefusal.NOT_SET_UP):
            self.reason, self._standing = answer.value, True
        elif self._standing:
            self.reason, self._standing = "", False

    def _short_press(self, event: Released) -> bool:
        """True if the whole press happened in this state and was neither a knock nor a hold."""
        began_in = self._pressed_in
        self._let_go(event)
        return began_in is self.state and SHORTEST_PRESS <= event.held <= LONGEST_PRESS

    def _refuse(self, at: float, reason: PressRefusal) -> list[Effect]:
        self.state = State.REFUSED
        self.reason, self._standing = reason.value, False
        self._due = at + REFUSAL_SHOWN
        return [Refuse(reason), Show(Pattern.REFUSED)]

    def _stop(self, at: float, why: EndReason) -> list[Effect]:
        self.state = State.STOPPING
        self._why = why
        self._due = at + LONGEST_STOP
        after = Pattern.OFF if self._fault is None else Pattern.FAULT
        # The light goes only when the camera has.
        return [CloseCamera(), Show(after), FinishFilm(why)]

    def _settle(self) -> list[Effect]:
        if self._fault is None:
            return self._rest()
        self._show_reason(self._fault)
        return [Show(Pattern.FAULT)]

    def _end(self, fault: EndReason) -> list[Effect]:
        self._show_reason(fault)
        return [Die(fault)]

    def _show_reason(self, fault: EndReason) -> None:
        self.state = State.FAULT
        self.permit = self._due = self._fault = None
        self.reason, self._standing = fault.value, False

    def _rest(self) -> list[Effect]:
        self.state = State.IDLE
        self._due = None
        return [self._show_idle(), Judge()]

    def _show_idle(self) -> Effect:
        return Show(Pattern.RECOVERED if self._recovered else Pattern.OFF)


S, R = State, Recorder
TABLE: dict[tuple[State, type[Event]], Callable[..., list[Effect]]] = {
    (S.IDLE, Pressed): R._note_press,
    (S.IDLE, Released): R._ask_gate,
    (S.IDLE, Ticked): R._count_down_if_held,
    (S.IDLE, Judged): R._become_ready,
    (S.IDLE, StopAsked): R._nothing,
    (S.IDLE, PresenceAsked): R._ask_presence,
    (S.IDLE, PreviewAsked): R._open_preview,
    (S.IDLE, Broke): R._break,
    (S.IDLE, Failed): R._break,
    (S.IDLE, FilmClosed): R._nothing,
    (S.ASKED, Pressed): R._note_answer,
    (S.ASKED, Released): R._say_too_soon,
    (S.ASKED, Ticked): R._let_press_count,
    (S.ASKED, Judged): R._be_armed_instead,
    (S.ASKED, StopAsked): R._nothing,
    (S.ASKED, PresenceAsked): R._ask_presence,
    (S.ASKED, PreviewAsked): R._nothing,
    (S.ASKED, Broke): R._break,
    (S.ASKED, Failed): R._break,
    (S.ASKED, FilmClosed): R._nothing,
    (S.PRESENCE, Pressed): R._note_answer,
    (S.PRESENCE, Released): R._confirm,
    (S.PRESENCE, Ticked): R._give_up_presence,
    (S.PRESENCE, Judged): R._be_armed_instead,
    (S.PRESENCE, StopAsked): R._nothing,
    (S.PRESENCE, PresenceAsked): R._ask_presence,
    (S.PRESENCE, PreviewAsked): R._nothing,
    (S.PRESENCE, Broke): R._break,
    (S.PRESENCE, Failed): R._break,
    (S.PRESENCE, FilmClosed): R._nothing,
    (S.READY, Pressed): R._note_press,
    (S.READY, Released): R._ask_gate,
    (S.READY, Ticked): R._count_down_if_held,
    (S.READY, Judged): R._start_if_agreed,
    (S.READY, StopAsked): R._nothing,
    (S.READY, PresenceAsked): R._decline,
    (S.READY, PreviewAsked): R._open_preview,
    (S.READY, Broke): R._break,
    (S.READY, Failed): R._break,
    (S.READY, FilmClosed): R._nothing,
    (S.PREVIEW, Pressed): R._close_by_button,
    (S.PREVIEW, Released): R._let_go,
    (S.PREVIEW, Ticked): R._close_if_due,
    (S.PREVIEW, Judged): R._close_if_not_agreed,
    (S.PREVIEW, StopAsked): R._close_when_asked,
    (S.PREVIEW, PresenceAsked): R._decline,
    (S.PREVIEW, PreviewAsked): R._nothing,
    (S.PREVIEW, Broke): R._close_on_fault,
    (S.PREVIEW, Failed): R._close_on_fault,
    (S.PREVIEW, FilmClosed): R._nothing,
    (S.FILMING, Pressed): R._stop_by_button,
    (S.FILMING, Released): R._let_go,
    (S.FILMING, Ticked): R._stop_if_due,
    (S.FILMING, Judged): R._nothing,
    (S.FILMING, StopAsked): R._stop_when_asked,
    (S.FILMING, PresenceAsked): R._decline,
    (S.FILMING, PreviewAsked): R._nothing,
    (S.FILMING, Broke): R._stop_on_fault,
    (S.FILMING, Failed): R._stop_on_fault,
    (S.FILMING, FilmClosed): R._nothing,
    (S.STOPPING, Pressed): R._note_press,
    (S.STOPPING, Released): R._let_go,
    (S.STOPPING, Ticked): R._die_if_due,
    (S.STOPPING, Judged): R._nothing,
    (S.STOPPING, StopAsked): R._nothing,
    (S.STOPPING, PresenceAsked): R._decline,
    (S.STOPPING, PreviewAsked): R._nothing,
    (S.STOPPING, Broke): R._note_fault,
    (S.STOPPING, Failed): R._go_on_stopping,
    (S.STOPPING, FilmClosed): R._after_film,
    (S.REMOVING, Pressed): R._keep,
    (S.REMOVING, Released): R._keep,
    (S.REMOVING, Ticked): R._remove_if_due,
    (S.REMOVING, Judged): R._nothing,
    (S.REMOVING, StopAsked): R._keep,
    (S.REMOVING, PresenceAsked): R._decline,
    (S.REMOVING, PreviewAsked): R._nothing,
    (S.REMOVING, Broke): R._break,
    (S.REMOVING, Failed): R._break,
    (S.REMOVING, FilmClosed): R._nothing,
    (S.REFUSED, Pressed): R._note_press,
    (S.REFUSED, Released): R._let_go,
    (S.REFUSED, Ticked): R._rest_if_due,
    (S.REFUSED, Judged): R._nothing,
    (S.REFUSED, StopAsked): R._nothing,
    (S.REFUSED, PresenceAsked): R._ask_presence,
    (S.REFUSED, PreviewAsked): R._nothing,
    (S.REFUSED, Broke): R._break,
    (S.REFUSED, Failed): R._break,
    (S.REFUSED, FilmClosed): R._nothing,
    (S.FAULT, Pressed): R._note_press,
    (S.FAULT, Released): R._acknowledge,
    (S.FAULT, Ticked): R._count_down_if_held,
    (S.FAULT, Judged): R._nothing,
    (S.FAULT, StopAsked): R._nothing,
    (S.FAULT, PresenceAsked): R._decline,
    (S.FAULT, PreviewAsked): R._nothing,
    (S.FAULT, Broke): R._nothing,
    (S.FAULT, Failed): R._die_if_open,
    (S.FAULT, FilmClosed): R._nothing,
}
