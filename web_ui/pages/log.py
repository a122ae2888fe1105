"""The log in words: what the kit did and when, from all of its processes.

The log itself holds only codes and random ids; the page adds the words. Above it stands whether it
can be trusted: the page checks the chains, and what the recorder has signed of them.
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

from appliance.errors import BadInput
from appliance.records.audit import HEADS_NAME, MOST_HEADS, Entry, check_heads, links
from appliance.records.files import Home, paths_in, read_plain
from web_ui.forms import page_asked
from web_ui.parts import parts
from web_ui.session.current import name_of, practitioner
from web_ui.wording.language import _, in_words
from web_ui.wording.log_events import about_in_words, what_in_words, who_in_words

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
    """How often it happened in a row; `when` is the last time."""


@dataclass(frozen=True)
class Chain:
    """One process's log, and whether it holds."""

    who: str
    entries: int
    signed: int
    """Up to this entry the recorder has signed it."""
    broken: str
    """What does not hold, '' if nothing."""


pages = Blueprint("log", __name__)


@pages.get("/log")
def show() -> ResponseReturnValue:
    page = page_asked()
    signed, fault = _signed(parts().home)
    readings = [_Reading(process, signed[process]) for process in _PROCESSES]
    # The newest first, even at equal times. Keep no more than this page and those before show:
    # another process's log may be long.
    first, every = SHOWN * (page - 1), count()
    lines = heapq.nlargest(
        first + SHOWN + 1,
        (
            (entry.wall, next(every), reading.process, entry)
            for reading in readings
            for entry in reading.entries(parts().home)
        ),
        key=itemgetter(0, 1),
    )[first:]
    return render_template(
        "log.html",
        chains=[reading.chain(fault) for reading in readings],
        lines=_folded(
            Line(when, who_in_words(process), what_in_words(entry), about_in_words(entry, name_of))
            for when, _, process, entry in lines[:SHOWN]
        ),
        older=page + 1 if len(lines) > SHOWN else 0,
        newer=page - 1,
    )


def _folded(lines: Iterable[Line]) -> list[Line]:
    """Join lines that say the same, such as a hundred files that were confirmed."""
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
                for path in paths_in(home.heads, HEADS_NAME, MOST_HEADS)
            }
            for heads in check_heads(notes, practitioner().kit):
                for process, head in heads.logs.items():
                    signed[process][head.number] = head.sha256
        except BadInput as error:
            return signed, in_words(error)[0]
    return signed, ""


class _Reading:
    """One process's log, read once from start to end."""

    def __init__(self, process: str, signed: dict[int, str]) -> None:
        self.process = process
        self._signed = signed
        self._held = 0
        """How many of the signed lines it has."""
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
        """Whether it holds. `fault`: what is wrong with the recorder's notes."""
        broken = self._broken
        if not broken and self._held < len(self._signed):
            broken = _("it is not what the kit signed")
        if not broken and self.process == "recorder":
            broken = fault
        return Chain(
            who_in_words(self.process), self._entries, max(self._signed, default=0), broken
        )
