"""What the kit is doing, in words: the line on every page, and Stop.

The recorder's live status is a file in memory. The page only ever says what it read there, how old
that is, and when it does not know.
"""

import threading
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta

import msgspec
from flask import Blueprint, Response, g, redirect, request, stream_with_context
from flask.typing import ResponseReturnValue

from appliance.errors import BadFile
from appliance.protocol.permits import Refusal
from appliance.protocol.requests import Stop, place_request
from appliance.protocol.status import RecorderStatus, SyncStatus
from appliance.records.clock import Clock, Trust
from appliance.records.files import Home, load_fact, new_id
from web_ui.access import anyone, data, local_path, look_again, paired
from web_ui.language import _, ngettext
from web_ui.parts import Parts
from web_ui.times import in_words

STALE_SECONDS = 3.0

STREAMS = 6
"""Pages that are kept fresh by a stream at once; the others ask each second. Of the threads that
answer, players and forms need the rest."""
STREAM_SECONDS = 60.0
"""A stream that lasted so long ends, whether or not anybody is at its other end."""
SAME_SECONDS = 2.0
LOOK_SECONDS, GLANCE_SECONDS = 1.0, 0.2
"""What the recorder writes is seen within the second of them, everything else within the first."""
AGAIN_MS = 1000

IDLE, FILMING, FRAMING = "idle", "filming", "preview"
QUIETEST = 60.0
"""Decibels below the loudest there can be at which the page shows no sound."""
QUIET, TOO_LOUD = -40.0, -3.0
"""Decibels: below, a voice is lost beside the room's own noise; above, what is louder still would
be cut off."""


@dataclass(frozen=True)
class Heard:
    """What is heard while this family is filmed or framed."""

    level: int | None
    """From 0 to 100; None where only pictures are made."""
    words: str


@dataclass(frozen=True)
class Line:
    """The status line: words for people, codes for the lamp and the scripts."""

    answers: bool
    """False: the recorder is silent, and of the rest only `sent` is known."""
    filming: bool
    light: str
    """The pattern's name, '' if unknown."""
    lamp: str
    doing: str
    countdown: str
    free: str
    clock: str
    trusted: bool
    reason: str
    unproven: str
    failing: str
    """What the page should do by itself and cannot, '' if nothing."""
    removable: str
    """How long the last film can still be removed at the kit, '' if it cannot."""
    sent: str
    follow: str
    """Differs from before when a page that shows more than this line is out of date."""


def read_status(home: Home) -> RecorderStatus | None:
    """The recorder's last word, however old, or None if there is none that can be read."""
    try:
        return load_fact(home.status("recorder"), RecorderStatus)
    except BadFile:
        return None


def fresh_status(home: Home, clock: Clock) -> RecorderStatus | None:
    """The recorder's status if it is of this boot and not older than three seconds."""
    status = read_status(home)
    now = clock.read()
    if status is None or status.boot != now.boot:
        return None
    return status if now.boottime - status.boottime <= STALE_SECONDS else None


def trusted_now(status: RecorderStatus | None, clock: Clock) -> datetime | None:
    """The time as the recorder believes it at this moment, or None while it does not."""
    if status is None or status.now is None or status.clock != Trust.TRUSTED.value:
        return None
    return status.now + timedelta(seconds=clock.read().boottime - status.boottime)


def line(parts: Parts, status: RecorderStatus | None) -> Line:
    """The status line, from the recorder's fresh word."""
    progress = parts.enrolment.progress(status) if parts.enrolled is None else "enrolled"
    holder = g.get("practitioner")
    jobs = f"{holder.work.marker()} {holder.copying.marker()}" if holder else ""
    if status is None:
        return Line(
            answers=False,
            filming=False,
            light="",
            lamp=_("Unknown"),
            doing=_("The recorder does not answer. Do not film: look at the kit itself."),
            countdown="",
            free="",
            clock="",
            trusted=False,
            reason="",
            unproven="",
            failing=_failing(parts),
            removable="",
            sent=_sent(parts.home),
            follow=f"silent {progress} {jobs}",
        )
    filming = status.state == FILMING
    return Line(
        answers=True,
        filming=filming,
        light=status.light,
        lamp=_lamp(status.light),
        doing=_doing(status.state),
        countdown=_countdown(status.remaining) if filming else "",
        free=_free(status.minutes_free),
        clock=_clock(status),
        trusted=status.clock == Trust.TRUSTED.value,
        reason=reason_in_words(status.reason),
        unproven="" if status.lamp_proven else _("The kit cannot check its lamp: look at it"),
        failing=_failing(parts),
        removable=_removable(status.removable),
        sent=_sent(parts.home),
        follow=f"{status.state} {status.clock} {status.permit} {status.recording} {status.ended} "
        f"{status.reason} {progress} {jobs}",
    )


def blueprint(parts: Parts) -> Blueprint:
    pages = Blueprint("status", __name__)

    places = threading.BoundedSemaphore(STREAMS)

    @pages.get("/status.json")
    @anyone
    @data
    def tell() -> ResponseReturnValue:
        """The line as it is now. `?watching` puts the idle lock off: a film is playing."""
        if g.practitioner and "watching" in request.args:
            parts.seat.watched()
        return Response(_told(parts), mimetype="application/json")

    @pages.get("/status.events")
    @anyone
    @data
    def follow() -> Response:
        """The line now and each time it changes, as server-sent events (HTML standard, 9.2).

        A stream holds a thread. Where there is no place for one more it is over after the line as
        it is now, and the browser, as the standard has it, asks again after `AGAIN_MS`.
        """
        stays = g.paired and places.acquire(blocking=False)
        lines = _changes(parts) if stays else iter([_told(parts)])
        answer = Response(
            stream_with_context(_events(lines)),
            mimetype="text/event-stream",
        )
        if stays:
            answer.call_on_close(places.release)
        return answer

    @pages.post("/stop")
    @paired
    def stop() -> ResponseReturnValue:
        """End the film now. Needs no passphrase: anybody in the room may ask for this."""
        ask_to_stop(parts)
        return redirect(local_path(request.form.get("back", "")), 303)

    return pages


def _told(parts: Parts) -> bytes:
    """The line, and what else the script keeps fresh, as JSON."""
    status = fresh_status(parts.home, parts.clock)
    told = asdict(line(parts, status)) | {
        "locked": g.practitioner is None,
        "making": _making(),
        "heard": heard(status) if g.practitioner else None,
    }
    return msgspec.json.encode(told)


def _changes(parts: Parts) -> Iterator[bytes]:
    """The line now and whenever it is another; b"" where it stays the same, so that a page which
    hears nothing at all knows that the kit is out of its reach."""
    now = parts.clock.monotonic
    before, said, until = b"", now(), now() + STREAM_SECONDS
    looked, written = now(), -1
    while now() < until:
        newest, ends = _written(parts.home), parts.ending.is_set()
        if ends or newest != written or now() >= looked + LOOK_SECONDS:
            look_again(parts)
            told, looked, written = _told(parts), now(), newest
            if told != before or looked >= said + SAME_SECONDS:
                yield b"" if told == before else told
                before, said = told, looked
        if ends:
            return
        parts.ending.wait(GLANCE_SECONDS)


def _written(home: Home) -> int:
    """When the recorder said something last, in nanoseconds of whatever clock; 0 if never."""
    try:
        return home.status("recorder").stat().st_mtime_ns
    except FileNotFoundError:
        return 0


def _events(lines: Iterable[bytes]) -> Iterator[bytes]:
    yield b"retry: %d\n\n" % AGAIN_MS
    for told in lines:
        yield b"data: %b\n\n" % (told or b"same")


def _making() -> dict[str, int]:
    """Percent of everything that is being made for whoever is unlocked, by its id."""
    holder = g.practitioner
    return holder.work.making() | holder.copying.making() if holder else {}


def heard(status: RecorderStatus | None) -> Heard | None:
    """How loud it is by the recorder's word; None while nothing is filmed or framed."""
    if status is None or status.state not in (FILMING, FRAMING):
        return None
    if not status.with_sound:
        return Heard(None, _("No sound: only pictures are made."))
    if status.sound is None:
        return Heard(0, _("Nothing is heard. If this stays so, check the microphone's plug."))
    level = max(0, min(100, round(100 * (1 + status.sound.peak / QUIETEST))))
    if status.sound.loudest < QUIET:
        return Heard(level, _("Quiet. If people are talking, move the kit closer to them."))
    if status.sound.loudest > TOO_LOUD:
        return Heard(level, _("Too loud. Move the kit away from what is loud."))
    return Heard(level, _("Good: loud enough, and not too loud."))


def ask_to_stop(parts: Parts) -> None:
    """Place a Stop request."""
    now = parts.clock.read()
    place_request(parts.home, Stop(id=new_id(), boot=now.boot, boottime=now.boottime))
    parts.note("stop-asked")


def reason_in_words(code: str) -> str:
    """Why a press was refused or what is broken, and what to do; '' for no code."""
    if not code:
        return ""
    try:
        return _(Refusal(code).sentence)
    except ValueError:
        pass
    return _endings().get(code) or _("The kit reports: %(code)s.", code=code)


def ended_in_words(code: str) -> str:
    """Why a film ended."""
    return _endings().get(code) or _("It ended: %(code)s.", code=code)


def _doing(state: str) -> str:
    words = {
        "idle": _("Not armed. A press of the button films nothing."),
        "asked": _("A press of the button is asked for. It counts in a moment."),
        "presence": _("Waiting for a press of the button."),
        "ready": _("Armed. A short press of the button starts a film."),
        "filming": _("Filming. Any press of the button stops it."),
        "preview": _(
            "The camera is on for framing; nothing is stored. A short press of the button films."
        ),
        "stopping": _("The film is being closed."),
        "removing": _("The last film is about to be removed. Let go of the button to keep it."),
        "refused": _("A press was refused. The kit does not film."),
        "fault": _("Something is broken. The kit does not film."),
    }
    return words.get(state) or _("The recorder says: %(state)s.", state=state)


def _lamp(pattern: str) -> str:
    words = {
        "off": _("Off"),
        "ready": _("Slow pulse: ready"),
        "preview": _("Even quick blink: the camera is on, nothing is stored"),
        "filming": _("On: filming"),
        "last-minute": _("On with a dip each second: the last minute"),
        "refused": _("Two flashes: refused"),
        "removing": _("Quickening: the last film is about to be removed"),
        "presence": _("Double pulse: press the button to confirm"),
        "fault": _("Three flashes and one: something is broken"),
        "recovered": _("A wink each ten seconds: the power was cut, look at the last film"),
    }
    return words.get(pattern) or pattern


def _clock(status: RecorderStatus) -> str:
    trust = status.clock
    if trust == Trust.TRUSTED.value and status.now and status.other_time:
        return _(
            "Clocks disagree: %(now)s was confirmed, and the kit's own clock said %(other)s. "
            "If the confirmed time is wrong, lock the page and unlock it with the right one.",
            now=in_words(status.now),
            other=in_words(status.other_time),
        )
    words = {
        "trusted": _("Time confirmed"),
        "doubtful": _("Time not confirmed: unlock the page"),
        "wrong": _("The time is wrong: unlock the page and correct it"),
    }
    return words.get(trust) or trust


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


def _countdown(seconds: float) -> str:
    minutes, rest = divmod(max(0, int(seconds + 0.5)), 60)
    return f"{minutes}:{rest:02}"


def _removable(seconds: float) -> str:
    if seconds <= 0:
        return ""
    return _(
        "Hold the button for 5 seconds to remove the last film (%(left)s left)",
        left=_countdown(seconds),
    )


def _free(minutes: float) -> str:
    whole = max(0, int(minutes))
    if whole >= 180:
        return _("Room for %(hours)s hours", hours=whole // 60)
    return ngettext("Room for %(num)s minute", "Room for %(num)s minutes", whole)


def _failing(parts: Parts) -> str:
    if not parts.failing:
        return ""
    return _("Something failed that the page does by itself; it is tried again. See the log")


def _sent(home: Home) -> str:
    try:
        status = load_fact(home.status("sync"), SyncStatus)
    except BadFile:
        status = None
    if status is None or status.last_confirmed is None:
        return _("Nothing confirmed by the service since switching on")
    return _("Last confirmed by the service: %(when)s", when=in_words(status.last_confirmed))
