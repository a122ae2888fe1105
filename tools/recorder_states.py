"""Draw the recorder's states from its own table: docs/recorder-states.md.

    python tools/recorder_states.py

Each arrow was found by asking the machine: it is put into a state the way people would, then given
the event in every form that matters. The words are the first lines of the handlers in the table.
"""

import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from appliance.film.manifest import EndReason  # noqa: E402
from appliance.protocol.permits import Permit, PressRefusal  # noqa: E402
from appliance.protocol.status import Pattern, State  # noqa: E402
from firmware.recorder import (  # noqa: E402
    TABLE,
    Broke,
    CloseCamera,
    Die,
    Event,
    Failed,
    FilmClosed,
    Judged,
    PresenceAsked,
    Pressed,
    PreviewAsked,
    Recorder,
    Released,
    Show,
    StopAsked,
    Ticked,
)

PAGE = ROOT / "docs" / "recorder-states.md"
NOON = datetime(2027, 3, 1, 12, tzinfo=UTC)
PERMIT = Permit(
    id="a" * 16,
    kit="b" * 16,
    case="c" * 16,
    recipient="age1",
    consent="0" * 64,
    kind="visit",
    limit=300,
    sound=True,
    films=1,
    boot="",
    not_before=NOON,
    not_after=NOON + timedelta(hours=1),
)
LEFT = 3600.0
ARMED = Judged(0, PERMIT, pressed=False)
FAULT = EndReason.CAMERA_FAILED
FILMED = (
    ARMED,
    Judged(0, PERMIT, pressed=True, left=LEFT),
    Pressed(0),
    Released(0, 0.2),
    FilmClosed(0, film="d" * 16),
)

WAYS: dict[State, tuple[Event, ...]] = {
    State.IDLE: FILMED,
    State.ASKED: (PresenceAsked(0, "request"),),
    State.PRESENCE: (PresenceAsked(0, "request"), Ticked(2)),
    State.READY: (*FILMED, ARMED),
    State.PREVIEW: (ARMED, PreviewAsked(0, PERMIT, LEFT)),
    State.FILMING: (ARMED, Judged(0, PERMIT, pressed=True, left=LEFT)),
    State.STOPPING: (ARMED, Judged(0, PERMIT, pressed=True, left=LEFT), Pressed(0)),
    State.REMOVING: (*FILMED, Pressed(1), Ticked(4)),
    State.REFUSED: (Judged(0, PressRefusal.NO_PERMIT, pressed=True),),
    State.FAULT: (
        *FILMED,
        Broke(0, FAULT),
    ),
}
"""How each state is reached."""

FORMS: dict[str, tuple[Event, ...]] = {
    "press": (Pressed(1),),
    "short press": (Pressed(1), Released(1.2, 0.2)),
    "held on after a film": (Pressed(1), Ticked(4)),
    "letting go": (Released(1.2, 0.2),),
    "short press, permit in force": (Judged(1, PERMIT, pressed=True, left=LEFT),),
    "short press, no permit in force": (Judged(1, PressRefusal.NO_PERMIT, pressed=True),),
    "its time is over": (Ticked(10_000),),
    "permit comes into force": (Judged(1, PERMIT, pressed=False),),
    "permit is gone": (Judged(1, PressRefusal.NO_PERMIT, pressed=False),),
    "preview asked, permit in force": (PreviewAsked(1, PERMIT, LEFT),),
    "preview asked, no permit in force": (PreviewAsked(1, PressRefusal.NO_PERMIT),),
    "stop from the page": (StopAsked(1, EndReason.PAGE),),
    "presence asked": (PresenceAsked(1, "another"),),
    "a part breaks": (Broke(1, FAULT),),
    "light or disk refuses": (Failed(1, Show(Pattern.FILMING), FAULT),),
    "camera does not close": (Failed(1, CloseCamera(), FAULT),),
    "film closed": (FilmClosed(1),),
    "film not closed": (FilmClosed(1, FAULT),),
}
"""What may happen, and the events it comes as."""


def arrows() -> Iterator[tuple[str, str, str]]:
    """From, to, and what happens; to the end of the process where that is what follows."""
    for state, way in WAYS.items():
        for words, events in FORMS.items():
            machine = Recorder()
            for event in way:
                machine.handle(event)
            assert machine.state is state
            for event in events[:-1]:
                machine.handle(event)
            if machine.state is not state:
                # That is what the first of them does, and told of already.
                continue
            effects = machine.handle(events[-1])
            if any(isinstance(effect, Die) for effect in effects):
                yield state.value, "[*]", words
            elif machine.state is not state:
                yield state.value, machine.state.value, words


def page() -> str:
    """The whole page, in Markdown."""
    joined: dict[tuple[str, str], list[str]] = {}
    for one, other, words in arrows():
        joined.setdefault((one, other), []).append(words)
    lines = [
        "# The recorder's states",
        "",
        "Generated from the table in `firmware/recorder.py` by `python tools/recorder_states.py`:",
        "do not edit. What is not listed changes nothing. Camera and microphone are open in",
        "*preview* and *filming* alone.",
        "",
        "```mermaid",
        "stateDiagram-v2",
        "    [*] --> idle",
        *(f"    {one} --> {other}: {', '.join(words)}" for (one, other), words in joined.items()),
        "```",
    ]
    for state in State:
        lines += ["", f"## {state.value}", ""]
        for (where, event), handler in TABLE.items():
            says = (handler.__doc__ or "").splitlines()[0]
            if where is state and says != "Nothing.":
                lines.append(f"- {event.__name__}: {says}")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page())
