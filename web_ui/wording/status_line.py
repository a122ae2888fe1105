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
        return Heard(None, _("No sound: this film has pictures only."))
    if status.sound is None:
        return Heard(0, _("No sound. Check the microphone is plugged in."))
    level = max(0, min(100, round(100 * (1 + status.sound.loudest / QUIETEST))))
    if status.sound.loudest < QUIET:
        return Heard(level, _("Too quiet. Move the kit closer to the people talking."))
    if status.sound.loudest > TOO_LOUD:
        return Heard(level, _("Too loud. Move the kit further away from the noise."))
    return Heard(level, _("Sound is good."))


def light_in_words(status: RecorderStatus | None) -> str:
    """Whether it is bright enough to film; '' while nothing is framed."""
    if status is None or status.state is not State.PREVIEW or status.brightness is None:
        return ""
    if status.brightness < DARK:
        return _("Too dark to see faces well. Turn on a lamp or open a curtain.")
    return _("Light is good.")


def camera_in_words(status: RecorderStatus | None) -> tuple[str, ...]:
    """What the camera is set to, in sentences; none where it has not been opened."""
    if status is None or status.filmed_with is None:
        return ()
    said = status.filmed_with
    width, height = said.size
    words = [
        _(
            "%(camera)s, %(width)d x %(height)d pixels, %(rate)d pictures a second.",
            camera=said.camera,
            width=width,
            height=height,
            rate=said.frame_rate,
        )
    ]
    if said.is_whole:
        words.append(_("The film shows all that the lens sees from left to right."))
    elif said.seen is not None:
        seen = round(100 * said.seen)
        words.append(
            _("The film shows %(seen)d %% of what the lens sees from left to right.", seen=seen)
        )
    if said.focus:
        words.append(_("In focus at about %(metres).1f m.", metres=1 / said.focus))
    elif said.focus is not None:
        words.append(_("In focus far away."))
    return tuple(words)


def reason_in_words(code: str) -> str:
    """Why a press was refused or what is broken, and what to do; '' for no code."""
    if not code:
        return ""
    for kind in (PressRefusal, EmptyingRefusal):
        with suppress(ValueError):
            return _(kind(code).sentence)
    return _endings().get(code) or _("The kit gave this code: %(code)s.", code=code)


def ended_in_words(code: str) -> str:
    """Why a film ended."""
    return _endings().get(code) or _("The film stopped. Code: %(code)s.", code=code)


def doing_in_words(state: State) -> str:
    """What the recorder is doing."""
    words = {
        State.IDLE: _("Not filming. The button is off."),
        State.ASKED: _("Get ready to press the button. Wait for the light."),
        State.PRESENCE: _("Press the button on the kit to confirm."),
        State.READY: _("Ready. Press the button once to start filming."),
        State.FILMING: _("Filming. Press the button to stop."),
        State.PREVIEW: _("Checking the picture. Not recording."),
        State.STOPPING: _("Saving the film."),
        State.REMOVING: _("Deleting the last film. Let go of the button to keep it."),
        State.REFUSED: _("The kit did not accept that press. Not filming."),
        State.FAULT: _("The kit has a fault. Not filming."),
    }
    return words[state]


def lamp_in_words(pattern: Pattern) -> str:
    """What the lamp shows and what that means."""
    words = {
        Pattern.OFF: _("Off"),
        Pattern.READY: _("Slow pulse: ready to film"),
        Pattern.PREVIEW: _("Fast flashing: checking the picture, not recording"),
        Pattern.FILMING: _("Steady light: filming"),
        Pattern.LAST_MINUTE: _("Dips once a second: last minute of filming"),
        Pattern.REFUSED: _("2 flashes: the press was not accepted"),
        Pattern.REMOVING: _("Flashing faster and faster: about to delete the last film"),
        Pattern.PRESENCE: _("Flashing in pairs: press the button to confirm"),
        Pattern.FAULT: _("3 flashes then 1: the kit has a fault"),
        Pattern.RECOVERED: _(
            "One short flash every 10 seconds: the power was cut. Check the last film."
        ),
    }
    return words[pattern]


def is_sure(status: RecorderStatus) -> bool:
    """Whether the time was confirmed and no other clock of the kit's says another."""
    return status.clock is Trust.TRUSTED and not status.other_time


def clock_in_words(status: RecorderStatus) -> str:
    """How sure the kit is of the time."""
    trust = status.clock
    if trust is Trust.TRUSTED and status.now and status.other_time:
        return _(
            "The kit's clocks do not match: %(now)s was confirmed, but the kit's own "
            "clock said %(other)s. If the confirmed time is wrong, lock the page and "
            "unlock it with the right time.",
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
        "button": _("Stopped with the button."),
        "limit": _("Stopped at the agreed time."),
        "page": _("Stopped from this page."),
        "power": _("The power was cut. The film up to then is saved."),
        "shutdown": _("The kit was turned off. The film up to then is saved."),
        "withdrawn": _("Stopped because consent was withdrawn."),
        "camera-failed": _("The camera stopped. Check its cable, then turn the kit off and on."),
        "frames-stopped": _("The camera stopped sending pictures, so filming stopped."),
        "sound-failed": _("The microphone stopped, so filming stopped."),
        "light-failed": _("The light stopped working, so filming stopped. The kit needs repair."),
        "disk-failed": _(
            "The memory card could not save the film, so filming stopped. The card may "
            "be full or worn out."
        ),
        "slow-card": _("The memory card was too slow, so filming stopped."),
        "fault": _("The kit had a fault, so filming stopped."),
        "imported": _("Added from a phone or video call."),
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
        "To delete the last film, hold the button down for 5 seconds (%(left)s left to do this)",
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
        return _("Nothing uploaded since the kit was turned on")
    return _("Last upload: %(when)s", when=in_words(status.last_confirmed))
