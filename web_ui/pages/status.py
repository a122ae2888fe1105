"""The status line on every page, and Stop.

The recorder's live status is a file in memory. The page says only what it read there, and says so
when it does not know.
"""

import threading
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass

import msgspec
from flask import Blueprint, Response, current_app, g, redirect, request, stream_with_context
from flask.typing import ResponseReturnValue

from appliance.protocol.status import RecorderStatus, State
from appliance.records.files import Home
from web_ui.parts import parts
from web_ui.session.access import anyone, data, local_path, look_again, paired
from web_ui.wording.language import _
from web_ui.wording.status_line import (
    clock_in_words,
    countdown,
    doing_in_words,
    free_in_words,
    heard,
    is_sure,
    lamp_in_words,
    light_in_words,
    reason_in_words,
    removable_in_words,
)

STREAMS = 6
"""Pages with a stream at once; others ask every second. Players and forms need the other
threads."""
STREAM_SECONDS = 60.0
"""A stream ends after this long, whether or not anybody still listens."""
SAME_SECONDS = 2.0
LOOK_SECONDS, GLANCE_SECONDS = 1.0, 0.2
"""A change of the recorder is seen within the second of these, all else within the first."""
AGAIN_MS = 1000
LITTLE_ROOM = 60.0
"""Minutes of film: with less room on the card, every page says so."""
_PLACES = "attune-streams"


@dataclass(frozen=True)
class Line:
    """The status line: words for people, codes for the lamp and the scripts."""

    lamp: str
    doing: str
    failing: str
    """What the page fails to do by itself, '' if nothing."""
    follow: str
    """Changes when a page that shows more than this line is out of date."""
    answers: bool = False
    """False: the recorder is silent, and what follows is not known."""
    filming: bool = False
    light: str = ""
    """The pattern's name, '' if unknown."""
    countdown: str = ""
    free: str = ""
    """How much room there is, where that is little."""
    clock: str = ""
    """What is wrong with the time, '' if nothing is."""
    reason: str = ""
    unproven: str = ""
    """That nobody but those in the room can say what the lamp does, where it matters now."""
    removable: str = ""
    """How long the last film can still be removed at the kit, '' if it cannot."""


def line(status: RecorderStatus | None) -> Line:
    """The status line, from the recorder's fresh word."""
    if status is None:
        return Line(
            lamp=_("Unknown"),
            doing=_("The page cannot talk to the camera. Do not film. Turn the kit off and on."),
            failing=_failing(),
            follow=marker(status),
        )
    filming = status.state is State.FILMING
    must_look = not status.lamp_proven and status.state in (State.READY, State.FILMING)
    return Line(
        answers=True,
        filming=filming,
        light=status.light,
        lamp=lamp_in_words(status.light),
        doing=doing_in_words(status.state),
        countdown=countdown(status.remaining) if filming else "",
        free=free_in_words(status.minutes_free) if status.minutes_free < LITTLE_ROOM else "",
        clock="" if is_sure(status) else clock_in_words(status),
        reason=reason_in_words(status.reason),
        unproven=_("Look at the light: this kit cannot check it for you") if must_look else "",
        failing=_failing(),
        removable=removable_in_words(status.removable),
        follow=marker(status),
    )


def marker(status: RecorderStatus | None) -> str:
    """What changes when a page that shows more than the line is out of date."""
    progress = parts().enrolment.progress(status) if parts().enrolled is None else "enrolled"
    holder = g.get("practitioner")
    jobs = f"{holder.work.marker()} {holder.copying.marker()}" if holder else ""
    if status is None:
        return f"silent {progress} {jobs}"
    return (
        f"{status.state} {status.clock} {status.permit} {status.recording} {status.ended} "
        f"{status.looks} "
        f"{status.reason} {progress} {jobs}"
    )


pages = Blueprint("status", __name__)

# Each kit's page has places of its own.
pages.record(
    lambda setup: setup.app.extensions.update({_PLACES: threading.BoundedSemaphore(STREAMS)})
)


@pages.get("/status.json")
@anyone
@data
def tell() -> ResponseReturnValue:
    """The line now. `?watching` puts the idle lock off: a film is playing."""
    if g.practitioner and "watching" in request.args:
        parts().session.watched()
    return Response(_told(), mimetype="application/json")


@pages.get("/status.events")
@anyone
@data
def follow() -> Response:
    """The line now and each time it changes, as server-sent events (HTML standard, 9.2).

    A stream holds a thread. If there are too many, it ends after the line as it is now, and the
    browser asks again after `AGAIN_MS`, as the standard says.
    """
    places = current_app.extensions[_PLACES]
    stays = g.paired and places.acquire(blocking=False)
    lines = _changes() if stays else iter([_told()])
    answer = Response(stream_with_context(_events(lines)), mimetype="text/event-stream")
    if stays:
        answer.call_on_close(places.release)
    return answer


@pages.post("/stop")
@paired
def stop() -> ResponseReturnValue:
    """End the film now. Needs no passphrase: anybody in the room may ask for this."""
    parts().recorder.stop()
    return redirect(local_path(request.form.get("back", "")), 303)


def _told() -> bytes:
    """The line, and what else the script updates, as JSON."""
    status = parts().recorder.status()
    told = asdict(line(status)) | {
        "locked": g.practitioner is None,
        "making": _making(),
        "heard": heard(status) if g.practitioner else None,
        "bright": light_in_words(status) if g.practitioner else "",
    }
    return msgspec.json.encode(told)


def _changes() -> Iterator[bytes]:
    """The line now and whenever it changes; b"" from time to time while it stays the same, so that
    a page that hears nothing knows that the kit is out of reach."""
    now = parts().clock.monotonic
    before, said, until = b"", now(), now() + STREAM_SECONDS
    looked, written = now(), -1
    while now() < until:
        newest, ends = _written(parts().home), parts().ending.is_set()
        if ends or newest != written or now() >= looked + LOOK_SECONDS:
            look_again(parts())
            told, looked, written = _told(), now(), newest
            if told != before or looked >= said + SAME_SECONDS:
                yield b"" if told == before else told
                before, said = told, looked
        if ends:
            return
        parts().ending.wait(GLANCE_SECONDS)


def _written(home: Home) -> int:
    """When the recorder last wrote its status, in nanoseconds; 0 if never."""
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


def _failing() -> str:
    if not parts().failing:
        return ""
    return _("Something the kit does by itself did not work. It will try again. See the log")
