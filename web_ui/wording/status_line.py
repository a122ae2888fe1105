"""What the recorder and the sender say by codes, in words."""

from contextlib import suppress
from dataclasses import dataclass

from appliance.errors import BadFile
from appliance.protocol.emptying import EmptyingRefusal
from appliance.protocol.permits import PressRefusal
from appliance.protocol.status import Pattern, RecorderStatus, State, SyncStatus
from appliance.records.clock import Trust
from appliance.records.files import Home, load_fact
from web_ui.wording.language import _, ngettext
from web_ui.wording.times import in_words

QUIETEST = 60.0
"""Decibels below the loudest there can be at which the page shows no sound."""
DARK = 0.2
"""Of the way from black to white: where a camera cannot make a room brighter, its picture is below;
where it can, about twice as bright."""
QUIET, TOO_LOUD = -40.0, -3.0
"""Decibels: below, a voice is lost beside the room's own noise; above, what is louder still would
be cut off."""


@dataclass(frozen=True)
class Heard:
    """What is heard while this family is filmed or framed."""

    level: int | None
    """How loud the loudest of the last three seconds was, from 0 to 100: what goes down in each
    pause says nothing. None where only pictures are made."""
    words: str


def heard(status: RecorderStatus | None) -> Heard | None:
    """How loud it is by the recorder's word; None while nothing is filmed or framed."""
    if status is None or status.state not in (State.FILMING, State.PREVIEW):
        return None
    if not status.with_sound:
        return Heard(None, _("No sound: only pictures are made."))
    if status.sound is None:
        return Heard(0, _("Nothing is heard. If this stays so, check the microphone's plug."))
    level = max(0, min(100, round(100 * (1 + status.sound.loudest / QUIETEST))))
    if status.sound.loudest < QUIET:
        return Heard(level, _("Quiet. If people are talking, move the kit closer to them."))
    if status.sound.loudest > TOO_LOUD:
        return Heard(level, _("Too loud. Move the kit away from what is loud."))
    return Heard(level, _("Good: loud enough, and not too loud."))


def light_in_words(status: RecorderStatus | None) -> str:
    """Whether it is bright enough to film; '' while nothing is framed."""
    if status is None or status.state is not State.PREVIEW or status.brightness is None:
        return ""
    if status.brightness < DARK:
        return _("It is too dark: faces will hardly be seen. Switch on a lamp or open a curtain.")
    return _("Good: bright enough.")


def camera_in_words(status: RecorderStatus | None) -> tuple[str, ...]:
    """What the camera is set to, in sentences; none where it has not been opened."""
    if status is None or status.filmed_with is None:
        return ()
    said = status.filmed_with
    width, height = said.size
    words = [
        _(
            "%(camera)s, %(width)d x %(height)d points, %(rate)d pictures a second.",
            camera=said.camera,
            width=width,
            height=height,
            rate=said.frame_rate,
        )
    ]
    if said.is_whole:
        words.append(_("All that the lens sees from left to right is filmed."))
    elif said.seen is not None:
        seen = round(100 * said.seen)
        words.append(
            _("%(seen)d %% of what the lens sees from left to right is filmed.", seen=seen)
        )
    if said.focus:
        words.append(_("Sharp at about %(metres).1f m.", metres=1 / said.focus))
    elif said.focus is not None:
        words.append(_("Sharp far away."))
    return tuple(words)


def reason_in_words(code: str) -> str:
    """Why a press was refused or what is broken, and what to do; '' for no code."""
    if not code:
        return ""
    for kind in (PressRefusal, EmptyingRefusal):
        with suppress(ValueError):
            return _(kind(code).sentence)
    return _endings().get(code) or _("The kit reports: %(code)s.", code=code)


def ended_in_words(code: str) -> str:
    """Why a film ended."""
    return _endings().get(code) or _("It ended: %(code)s.", code=code)


def doing_in_words(state: State) -> str:
    """What the recorder is doing."""
    words = {
        State.IDLE: _("Not armed. A press of the button films nothing."),
        State.ASKED: _("A press of the button is asked for. It counts in a moment."),
        State.PRESENCE: _("Waiting for a press of the button."),
        State.READY: _("Armed. A short press of the button starts a film."),
        State.FILMING: _("Filming. Any press of the button stops it."),
        State.PREVIEW: _(
            "The camera is on for framing; nothing is stored. A short press of the button films."
        ),
        State.STOPPING: _("The film is being closed."),
        State.REMOVING: _("The last film is about to be removed. Let go of the button to keep it."),
        State.REFUSED: _("A press was refused. The kit does not film."),
        State.FAULT: _("Something is broken. The kit does not film."),
    }
    return words[state]


def lamp_in_words(pattern: Pattern) -> str:
    """What the lamp shows and what that means."""
    words = {
        Pattern.OFF: _("Off"),
        Pattern.READY: _("Slow pulse: ready"),
        Pattern.PREVIEW: _("Even quick blink: the camera is on, nothing is stored"),
        Pattern.FILMING: _("On: filming"),
        Pattern.LAST_MINUTE: _("On with a dip each second: the last minute"),
        Pattern.REFUSED: _("Two flashes: refused"),
        Pattern.REMOVING: _("Quickening: the last film is about to be removed"),
        Pattern.PRESENCE: _("Double pulse: press the button to confirm"),
        Pattern.FAULT: _("Three flashes and one: something is broken"),
        Pattern.RECOVERED: _("A wink each ten seconds: the power was cut, look at the last film"),
    }
    return words[pattern]


def clock_in_words(status: RecorderStatus) -> str:
    """How sure the kit is of the time."""
    trust = status.clock
    if trust is Trust.TRUSTED and status.now and status.other_time:
        return _(
            "Clocks disagree: %(now)s was confirmed, and the kit's own clock said %(other)s. "
            "If the confirmed time is wrong, lock the page and unlock it with the right one.",
            now=in_words(status.now),
            other=in_words(status.other_time),
        )
    words = {
        Trust.TRUSTED: _("Time confirmed"),
        Trust.DOUBTFUL: _("Time not confirmed: unlock the page"),
        Trust.WRONG: _("The time is wrong: unlock the page and correct it"),
    }
    return words[trust]


def _endings() -> dict[str, str]:
    return {
        "button": _("It was ended with the button."),
        "limit": _("It ended at the agreed length."),
        "page": _("It was stopped from the page."),
        "power": _("The power was cut. What was filmed until then is here."),
        "shutdown": _("The kit was switched off. What was filmed until then is here."),
        "withdrawn": _("It ended because the consent was withdrawn."),
        "camera-failed": _("The camera stopped. Check its cable, then switch the kit off and on."),
        "frames-stopped": _("The camera gave no more pictures, so the film was ended."),
        "sound-failed": _("The microphone stopped, so the film was ended."),
        "light-failed": _("The light stopped, so the film was ended. The kit needs repair."),
        "disk-failed": _(
            "The card refused a write, so the film was ended. Is the card full or worn?"
        ),
        "slow-card": _("The card was too slow, so the film was ended."),
        "fault": _("Something broke, so the film was ended."),
        "imported": _("It was made elsewhere and brought into this case."),
    }


def countdown(seconds: float) -> str:
    """Minutes and seconds, 4:05."""
    minutes, rest = divmod(max(0, int(seconds + 0.5)), 60)
    return f"{minutes}:{rest:02}"


def removable_in_words(seconds: float) -> str:
    """How long the last film can still be removed at the kit, '' if it cannot."""
    if seconds <= 0:
        return ""
    return _(
        "Hold the button for 5 seconds to remove the last film (%(left)s left)",
        left=countdown(seconds),
    )


def free_in_words(minutes: float) -> str:
    """How much more film the card takes."""
    whole = max(0, int(minutes))
    if whole >= 180:
        return _("Room for %(hours)s hours", hours=whole // 60)
    return ngettext("Room for %(num)s minute", "Room for %(num)s minutes", whole)


def last_sync(home: Home) -> SyncStatus | None:
    """The sender's last status, however old; None if there is none that can be read."""
    try:
        return load_fact(home.status("sync"), SyncStatus)
    except BadFile:
        return None


def sent_in_words(home: Home) -> str:
    """What the service has confirmed, by the sender's word."""
    status = last_sync(home)
    if status is None or status.last_confirmed is None:
        return _("Nothing confirmed by the service since switching on")
    return _("Last confirmed by the service: %(when)s", when=in_words(status.last_confirmed))
