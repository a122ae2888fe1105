"""What each process says of itself: in memory only, replaced as a whole, for the page to show."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Literal

import msgspec

from appliance.errors import BadFile
from appliance.film.manifest import EndReason, FilmedWith
from appliance.records.clock import Reading, Trust
from appliance.records.files import Fact, Home, Timestamp, load_fact


class State(StrEnum):
    """What the recorder is doing: the states of `firmware.recorder`."""

    IDLE = "idle"
    ASKED = "asked"
    """Somebody is to press, and a press does not count yet."""
    PRESENCE = "presence"
    READY = "ready"
    PREVIEW = "preview"
    FILMING = "filming"
    STOPPING = "stopping"
    REMOVING = "removing"
    REFUSED = "refused"
    FAULT = "fault"


class Pattern(StrEnum):
    """What the light says. `PATTERNS` has how each looks."""

    OFF = "off"
    READY = "ready"
    PREVIEW = "preview"
    FILMING = "filming"
    LAST_MINUTE = "last-minute"
    REFUSED = "refused"
    REMOVING = "removing"
    PRESENCE = "presence"
    FAULT = "fault"
    RECOVERED = "recovered"


_FLASH = 0.12
Step = tuple[bool, float]

PATTERNS: Mapping[Pattern, Sequence[Step]] = {
    Pattern.OFF: ((False, 1.0),),
    Pattern.READY: ((True, 1.5), (False, 1.5)),
    Pattern.PREVIEW: ((True, 0.15), (False, 0.15)),
    Pattern.FILMING: ((True, 1.0),),
    Pattern.LAST_MINUTE: ((True, 0.9), (False, 0.1)),
    Pattern.REFUSED: ((True, _FLASH), (False, 0.2), (True, _FLASH), (False, 2.0)),
    Pattern.REMOVING: tuple(
        step for beat in (0.5, 0.4, 0.3, 0.2, 0.1) for step in ((True, beat), (False, beat))
    ),
    Pattern.PRESENCE: ((True, 0.6), (False, 0.3), (True, 0.6), (False, 0.9)),
    Pattern.FAULT: (
        *((True, _FLASH), (False, 0.2)) * 2,
        *((True, _FLASH), (False, 0.7)),
        *((True, _FLASH), (False, 1.4)),
    ),
    Pattern.RECOVERED: ((True, 0.1), (False, 9.9)),
}
"""Each pattern as (lit, seconds), played again and again. They differ in rhythm alone, never in
colour."""


Answer = Literal["done", "waiting", "refused", "timed-out"]


STALE_SECONDS = 3.0
"""A recorder that has not written its status for so long does not answer."""


class SoundLevel(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How loud it is, in dB: 0 is the loudest there can be, -90.3 is silence."""

    peak: float
    rms: float
    """Both of the last quarter of a second."""
    loudest: float
    """The highest peak of the last three seconds: who speaks makes pauses."""


class RecorderStatus(Fact, frozen=True, kw_only=True, tag="recorder-status/v1"):
    """What the recorder is doing."""

    kit: str
    verifier: str
    """The kit's own verifying key, so that the page can show and check it."""
    boot: str
    boottime: float
    """When this was written."""
    state: State
    light: Pattern
    lit: bool
    lamp_proven: bool
    """True where a wire reads the lamp back."""
    lamp_follows_ms: float | None = None
    """The longest that the lamp took, since the recorder started, to be seen as it was set; None
    where nothing reads it back."""
    clock: Trust
    now: Timestamp | None
    other_time: Timestamp | None = None
    """What a machine's clock said when somebody vouched for quite another time."""
    reason: str
    """Code of the last refusal or fault, '' when there is none to show."""
    case: str
    permit: str
    recording: str
    """The film under way, or the last one of this boot."""
    limit: float
    remaining: float
    """Seconds of the film under way."""
    frames_in: int
    """Frames the camera gave."""
    frames_missed: int = 0
    """Frames that the camera left out, as the times of the others show."""
    frames_out: int
    """Frames sealed and on the card."""
    segments: int
    bytes_sealed: int
    removable: float = 0.0
    """Seconds in which holding the button for 5 s still removes the last film; 0 for none."""
    ended: EndReason | None
    """Why the last film ended, None while none has."""
    sound: SoundLevel | None = None
    """How loud it is while a film is made or framed; None while nothing is heard."""
    with_sound: bool = False
    """Whether what is filmed or framed now is to be heard as well."""
    filmed_with: FilmedWith | None = None
    """What the camera was set to when it was last opened in this boot."""
    brightness: Annotated[float, msgspec.Meta(ge=0, le=1)] | None = None
    """How bright what is framed is, 0 for black to 1 for white; None while nothing is framed."""
    looks: Annotated[int, msgspec.Meta(ge=0)] = 0
    """Pictures that came whole, at `Home.close_look`, since the camera was opened for framing."""
    minutes_free: float
    """Free space on the card, in minutes of film."""
    camera: str
    virtual: bool
    """True where button and light are on the page because there is no hardware."""
    timings_ms: dict[str, float]
    """On the last film: release_to_light, release_to_camera, release_to_sealed, stop_to_closed."""
    answers: dict[str, Answer]
    """The requests of this boot and what became of them."""


class AtBase(Fact, frozen=True, kw_only=True, tag="at-base/v1"):
    """The practitioner says that the kit is at base: it holds until it is taken away, the kit is
    switched off or `AT_BASE_SECONDS` have passed."""

    boot: str
    boottime: float


AT_BASE_SECONDS = 12 * 3600.0


def is_at_base(home: Home, now: Reading) -> bool:
    """True if the practitioner said so on the page in this boot, and not long ago."""
    said = None
    with suppress(BadFile, OSError):
        said = load_fact(home.at_base, AtBase)
    return said is not None and now.is_within(AT_BASE_SECONDS, said)


Fault = Literal[
    "unreadable",
    "damaged-here",
    "other-content",
    "too-large",
    "false-tombstone",
    "false-order",
    "false-key",
    "false-card",
    "older-card",
    "older-roster",
    "emptied-lost",
]
_SENTENCES: dict[Fault, str] = {
    "unreadable": "The kit cannot read this file, so it has not been uploaded. Ask your service.",
    "damaged-here": "The memory card has changed this file, so it has not been uploaded. "
    "Check the memory card, and ask your service.",
    "other-content": "The service's store has something else under this name, so this "
    "has not been uploaded. Ask your service to check its store.",
    "too-large": "The service's store does not accept a file this big, so it has not "
    "been uploaded. Ask your service to raise the limit of its store.",
    "false-tombstone": "The store says that this family withdrew consent, but the "
    "service did not sign it. Nothing about this family is uploaded. "
    "Ask your service.",
    "false-order": "The store has a request for this kit that the service did not sign "
    "for it. The kit will not carry it out. Ask your service.",
    "false-key": "The key to let a practitioner back in is missing, or is not the one "
    "the service signed for. Ask your service to let them in once more.",
    "false-card": "The store has an ID file for your service that does not follow the "
    "one before. This kit keeps using the one it has. Tell your service.",
    "older-card": "The store does not have your service's newest ID file, which this kit "
    "has. The store may have been restored from an older copy. Tell your "
    "service.",
    "older-roster": "The store has lost the list of your service's people that this kit "
    "knows. It was restored from an older copy. This kit keeps what it "
    "knows. Tell your service.",
    "emptied-lost": "This film is no longer on the memory card, and the service's store "
    "has lost it or has something else. Tell your service straight away: "
    "it may still have a copy.",
}


class Problem(Fact, frozen=True, kw_only=True, tag="sync-problem/v1"):
    """One thing that could not be sent, and the code of why."""

    object: str
    code: Fault

    @property
    def sentence(self) -> str:
        """What it means and what to do, for a person."""
        return _SENTENCES[self.code]


_ENDS: dict[str, str] = {
    "credential": "This kit's access to the service's store ends soon. Ask your service for a new "
    "access file.",
    "pin": "The way this kit recognises the service's store ends soon. Ask your service "
    "for a new access file.",
    "certificate": "The certificate of the service's store ends soon. Tell your service.",
}


class EndsSoon(Fact, frozen=True, kw_only=True, tag="ends-soon/v1"):
    """Something of the way to the store that ends by itself before long."""

    what: Literal["credential", "pin", "certificate"]
    at: Timestamp

    @property
    def sentence(self) -> str:
        """What it means and what to do, for a person."""
        return _ENDS[self.what]


SyncState = Literal["sending", "sent", "incomplete", "interrupted", "refused", "waiting"]
Why = Literal["not-at-base", "out-of-hours", "no-network"]
"""Why nothing is sent just now although nothing is wrong: the `error` of a waiting status."""


class SyncStatus(Fact, frozen=True, kw_only=True, tag="sync-status/v1"):
    """How the sending stands."""

    state: SyncState
    waiting: int
    """Objects still to send; below, their bytes."""
    waiting_bytes: int
    sent: int
    """Objects confirmed in this run; below, their bytes."""
    sent_bytes: int
    error: str
    """Code of what ended the run, '' if nothing did."""
    problems: tuple[Problem, ...]
    withdrawn_elsewhere: tuple[str, ...]
    """Cases open here that the service has closed: the note is in the inbox, nothing is sent."""
    ends: tuple[EndsSoon, ...] = ()
    """What of the way to the store ends before long, as the last contact showed."""
    last_confirmed: datetime | None
    bytes_per_second: float = 0.0
    """How fast this run goes, as far as is confirmed."""
    boot: str
    boottime: float
    """When this was written."""
