"""The log, in words: what the kit did and when, from all of its processes.

The log itself holds codes and random ids only; the words are added here. Whether it can be believed
stands above it: the page looks at the chains and at what the recorder has signed of them.
"""

import heapq
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import count
from operator import itemgetter

from flask import Blueprint, render_template
from flask.typing import ResponseReturnValue

from appliance.audit import HEADS_NAME, Entry, check_heads, links
from appliance.errors import BadInput
from appliance.files import Home, read_plain
from web_ui.access import practitioner
from web_ui.forms import page_asked
from web_ui.language import _, in_words
from web_ui.parts import Parts
from web_ui.status import ended_in_words, reason_in_words

SHOWN = 100
_PROCESSES = ("recorder", "web", "sync")
_LARGEST_NOTE = 64 * 1024
"""Bytes of a note of the recorder: three heads and a signature, less than a thousand."""


@dataclass(frozen=True)
class Line:
    """One event, for a person."""

    when: datetime
    who: str
    what: str
    about: str
    """The ids it speaks of, shortened, and why."""
    times: int = 1
    """How often it is there one after the other, `when` being the last time."""


@dataclass(frozen=True)
class Chain:
    """One process's log, and whether it holds."""

    who: str
    entries: int
    signed: int
    """Up to this entry the recorder has signed it."""
    broken: str
    """What does not hold, '' if nothing."""


def blueprint(parts: Parts) -> Blueprint:
    pages = Blueprint("log", __name__)

    @pages.get("/log")
    def show() -> ResponseReturnValue:
        page = page_asked()
        signed, fault = _signed(parts.home)
        readings = [_Reading(process, signed[process]) for process in _PROCESSES]
        # The newest first, also of those that have the same time. No more is kept than is shown
        # here and on the pages before: another process's log may be long.
        first, every = SHOWN * (page - 1), count()
        lines = heapq.nlargest(
            first + SHOWN + 1,
            (
                (entry.wall, next(every), reading.process, entry)
                for reading in readings
                for entry in reading.entries(parts.home)
            ),
            key=itemgetter(0, 1),
        )[first:]
        return render_template(
            "log.html",
            chains=[reading.chain(fault) for reading in readings],
            lines=_folded(
                Line(when, _who(process), _what(entry), _about(entry))
                for when, _, process, entry in lines[:SHOWN]
            ),
            older=page + 1 if len(lines) > SHOWN else 0,
            newer=page - 1,
        )

    return pages


def _folded(lines: Iterable[Line]) -> list[Line]:
    """What says the same again and again, as one line: a hundred files that were confirmed."""
    folded: list[Line] = []
    for line in lines:
        last = folded[-1] if folded else None
        if last and (last.who, last.what, last.about) == (line.who, line.what, line.about):
            folded[-1] = replace(last, times=last.times + 1)
        else:
            folded.append(line)
    return folded


def _signed(home: Home) -> tuple[dict[str, dict[int, str]], str]:
    """The digest of each line that the recorder has signed, by process and number; and what is
    wrong with its notes, '' if nothing."""
    signed: dict[str, dict[int, str]] = {process: {} for process in _PROCESSES}
    with suppress(FileNotFoundError):
        try:
            notes = {
                path.name: read_plain(path, _LARGEST_NOTE).decode(errors="replace")
                for path in (home.kit / "heads").iterdir()
                if HEADS_NAME.fullmatch(path.name)
            }
            for heads in check_heads(notes, practitioner().kit):
                for process, head in heads.logs.items():
                    signed[process][head.number] = head.sha256
        except BadInput as error:
            return signed, in_words(error)[0]
    return signed, ""


class _Reading:
    """One process's log, read once from its beginning to its end."""

    def __init__(self, process: str, signed: dict[int, str]) -> None:
        self.process = process
        self._signed = signed
        self._held = 0
        """How many of the lines that were signed it has."""
        self._entries = 0
        self._broken = ""

    def entries(self, home: Home) -> Iterator[Entry]:
        """Its entries, as far as the chain holds."""
        try:
            for link in links(home.log(self.process) / "log"):
                self._entries = link.head.number
                self._held += self._signed.get(link.head.number) == link.head.sha256
                yield link.entry
        except (BadInput, OSError) as error:
            self._broken = (
                in_words(error)[0] if isinstance(error, BadInput) else str(error.strerror)
            )

    def chain(self, fault: str) -> Chain:
        """What can be said of it, with what is wrong with the recorder's notes."""
        broken = self._broken
        if not broken and self._held < len(self._signed):
            broken = _("it is not what the recorder signed")
        if not broken and self.process == "recorder":
            broken = fault
        return Chain(_who(self.process), self._entries, max(self._signed, default=0), broken)


def _who(process: str) -> str:
    return {"recorder": _("Recorder"), "web": _("Page"), "sync": _("Sending")}[process]


def _about(entry: Entry) -> str:
    words = {
        "case": _("case"),
        "recording": _("film"),
        "clip": _("moment"),
        "permit": _("order to film"),
        "order": _("order"),
        "fault": _("because"),
        "code": _("because"),
    }
    told = [
        f"{words[name]} {value[:4] if len(value) == 16 else value}"
        for name, value in entry.ids.items()
        if name in words and value
    ]
    reasons = {
        "reason": reason_in_words,
        "why": ended_in_words,
    }
    said = [sentence(entry.ids[name]) for name, sentence in reasons.items() if name in entry.ids]
    return ". ".join([", ".join(told), *said] if told else said)


def _what(entry: Entry) -> str:
    words = {
        "armed": _("The kit was armed"),
        "arranged": _("Place and supervisor were written down"),
        "at-base-ended": _("It was said that the kit has left base"),
        "at-base-said": _("It was said that the kit is at base"),
        "broke": _("Something broke"),
        "case-closed": _("Everything of a case was withdrawn: it is not filmed again"),
        "case-key-received": _("A case's key came in, sealed anew by the service"),
        "case-made": _("A case was made"),
        "case-renewed": _("A case's new key was confirmed, with a press of the button"),
        "clip-asked": _("A moment was cut"),
        "confirmed": _("The service confirmed a file"),
        "clock-corrected": _("The time was put right, with a press of the button"),
        "colleague-brought": _("A colleague was brought to this kit"),
        "ceilings-brought": _("What a kit may do at most was brought from the service"),
        "consent-written": _("A consent was recorded"),
        "copies-downloaded": _("Copies were downloaded"),
        "course-ended": _("The work with a family was ended"),
        "died": _("The recorder ended itself"),
        "disarmed": _("The kit was disarmed"),
        "enough": _("The child had enough: the film was ended"),
        "enrolled": _("A practitioner was enrolled"),
        "film-begun": _("A film began"),
        "film-ended": _("A film ended"),
        "film-recovered": _("A film that the power had cut was closed"),
        "film-removed": _("A film was removed from the card"),
        "film-withdrawn": _("One film was taken back"),
        "framing-asked": _("The camera was asked for, to see what is in the picture"),
        "framing-ended": _("Framing was ended"),
        "goals-rated": _("Goals were rated"),
        "goals-written": _("Goals were written"),
        "here-answered": _("It was said who is here"),
        "import-asked": _("A film made elsewhere was sent to the kit"),
        "imported": _("A film made elsewhere became one of a case"),
        "joined": _("A practitioner joined a case"),
        "left": _("A practitioner left a case: it has a new key"),
        "new-key": _("A practitioner of a case was revoked: it has a new key"),
        "new-key-waits": _("A practitioner of a case was revoked: a new key could not be made"),
        "locked-revoked": _("Locked: the service revoked whoever was unlocked"),
        "reset-asked": _("It was asked to set the kit back"),
        "reset-begun": _("The kit began to be set back, with a press of the button"),
        "reset-refused": _("The kit was not set back"),
        "revoked": _("The service revoked a practitioner"),
        "revocation-received": _("The service's word on a practitioner came in"),
        "hold-lifted": _("A hold was lifted"),
        "hold-placed": _("A hold was placed"),
        "locked": _("The page was locked"),
        "locked-idle": _("The page locked itself"),
        "marked": _("A moment was marked while filming"),
        "mended": _("A film that the power had cut was mended"),
        "moment-placed": _("The moments of a review were put in order"),
        "moment-worded": _("Words of a moment were written"),
        "new-key-asked": _("A case's new key is to be confirmed at the kit"),
        "new-card-made": _("A new card was made: somebody forgot the passphrase"),
        "newcomer": _("Somebody new came in: the kit was disarmed"),
        "passphrase-changed": _("A passphrase was changed"),
        "purposes-withdrawn": _("One kind of use was taken back"),
        "readmission-refused": _("An order to let a practitioner in again was refused"),
        "readmission-waits": _("Letting a practitioner in again waits for the next try"),
        "readmitted": _("The service let a practitioner into a case again"),
        "refused": _("Something was refused"),
        "retention-over": _("Everything of a case was removed: its time was over"),
        "retention-waits": _("A case could not be removed in time, and waits for the next try"),
        "review-closed": _("A shared review was closed"),
        "service-order-done": _("An order of the service was carried out"),
        "service-order-received": _("An order of the service came in"),
        "service-order-waits": _("An order of the service waits for the next try"),
        "service-settings": _("The kit took in settings of the service"),
        "share-ended": _("What was shown to somebody was ended"),
        "share-over": _("What was shown to somebody was removed: its day is over"),
        "share-waits": _("What was shown to somebody could not be removed yet"),
        "shared": _("Moments were shared with somebody"),
        "set-back": _("The kit was set back: it is a new one"),
        "setup-brought": _("Keys were brought for the set-up"),
        "started": _("The recorder started"),
        "still-kept": _("A picture was kept"),
        "stop-asked": _("A stop was asked for"),
        "stopped": _("The recorder ended"),
        "switched-off": _("The kit was switched off from the page"),
        "time-not-believed": _("A time was given that cannot be believed"),
        "time-by-machine": _("The time was taken from a clock of the machine"),
        "time-correction-asked": _("It was asked to put the time right"),
        "time-vouched": _("The time was confirmed"),
        "top-up-begun": _("A top-up was begun"),
        "tombstone-received": _("The service answered a withdrawal"),
        "unlock-refused": _("A passphrase was wrong"),
        "unlocked": _("The page was unlocked"),
        "withdrawal-unfinished": _("A withdrawal could not be finished yet"),
        "withdrawn": _("Everything of a case was withdrawn"),
        "word-said": _("The family said its check word"),
        "word-wrong": _("A word was said that is not the case's check word"),
    }
    return words.get(entry.event) or _("Event: %(code)s", code=entry.event)
