"""What happened, in a chain that cannot be quietly rewritten.

One log a process: a line of JSON an event, each holding the SHA-256 of the line before, so that a
line taken out or altered breaks every line after it. Events are codes and random ids; no name, no
word of a family, no key.

A process could still write its own chain anew from the start. So the recorder, whom nobody else
commands, notes how far each chain has come and signs that (`Heads`, a numbered signed note in
`kit/heads/`): what was signed once can never again be otherwise, and the service has the notes too.
"""

import contextlib
import hashlib
import os
import re
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec

from appliance.errors import BadFile, NotPossible
from appliance.records.clock import Clock
from appliance.records.files import Fact, Timestamp, from_json, lines, open_plain, to_json
from appliance.records.signing import Verifier, fact_in, open_fact

START = "0" * 64
"""What the first line holds in place of a digest."""
LARGEST_LOG = 64 << 20
"""Bytes of another process's log that are looked at: fifty events a day for ten years."""
_LONGEST_LINE = 1 << 20

Event = Literal[
    "armed",
    "arranged",
    "at-base-ended",
    "at-base-said",
    "broke",
    "case-closed",
    "case-key-received",
    "case-made",
    "case-renewed",
    "ceilings-brought",
    "clip-asked",
    "clock-corrected",
    "colleague-brought",
    "confirmed",
    "consent-written",
    "copies-begun",
    "copies-done",
    "copies-downloaded",
    "copies-nothing",
    "copies-partly",
    "course-ended",
    "damaged-here",
    "died",
    "disarmed",
    "emptied-lost",
    "emptying-refused",
    "ends-soon",
    "enough",
    "enrolled",
    "false-card",
    "false-key",
    "false-order",
    "false-tombstone",
    "film-begun",
    "film-emptied",
    "film-ended",
    "film-recovered",
    "film-removed",
    "film-withdrawn",
    "fork-settled",
    "framing-asked",
    "framing-ended",
    "goals-rated",
    "goals-written",
    "here-answered",
    "hold-lifted",
    "hold-placed",
    "import-asked",
    "imported",
    "joined",
    "left",
    "locked",
    "locked-idle",
    "locked-revoked",
    "lost-there",
    "marked",
    "mend-failed",
    "mended",
    "moment-placed",
    "moment-worded",
    "new-card-made",
    "new-key",
    "new-key-asked",
    "new-key-waits",
    "newcomer",
    "older-card",
    "older-roster",
    "other-content",
    "page-task-waits",
    "passphrase-changed",
    "purposes-withdrawn",
    "readmission-refused",
    "readmission-waits",
    "readmitted",
    "refusal-received",
    "refused",
    "reset-asked",
    "reset-begun",
    "reset-refused",
    "retention-over",
    "retention-waits",
    "review-closed",
    "revocation-received",
    "roster-received",
    "revoked",
    "service-card",
    "service-card-received",
    "service-order-done",
    "service-order-received",
    "service-order-waits",
    "service-settings",
    "set-back",
    "setup-brought",
    "share-downloaded",
    "share-ended",
    "share-over",
    "share-waits",
    "share-watched",
    "shared",
    "started",
    "still-kept",
    "stop-asked",
    "stopped",
    "switched-off",
    "time-by-machine",
    "time-correction-asked",
    "time-not-believed",
    "time-vouched",
    "tombstone-received",
    "too-large",
    "top-up-begun",
    "unlock-refused",
    "unlocked",
    "unreadable",
    "withdrawal-unfinished",
    "withdrawn",
    "word-said",
    "word-wrong",
]
"""Everything that a log can say. The page has words for each (`web_ui.pages.log`)."""


class Entry(Fact, frozen=True, kw_only=True, tag="log/v1"):
    number: int
    wall: Timestamp
    """As this machine's clock said; the log's order is its numbers, not its times."""
    boot: str
    boottime: float
    event: str
    """An `Event`; an older or newer kit may have written another."""
    ids: dict[str, str]
    before: str


class Head(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How far a chain has come: its last line's number, and the SHA-256 (hex) of that line."""

    number: int
    sha256: str


class Heads(Fact, frozen=True, kw_only=True, tag="heads/v1"):
    """How far each process's chain had come when the recorder looked. Signed by the recorder."""

    kit: str
    number: int
    wall: Timestamp
    boot: str
    logs: dict[str, Head]
    broken: tuple[str, ...]
    """Processes whose chain no longer holds what was signed before: something rewrote it."""
    before: str
    """SHA-256 (hex) of the signed note before this one."""


HEADS_NAME = re.compile(r"[0-9]{6}")
MOST_HEADS = 1_000_000
"""One each ten minutes, while there is anything to sign."""


def heads_name(number: int) -> str:
    """Its name in `kit/heads/`, and at the store."""
    return f"{number:06}"


class Log:
    """Append events to one process's log, each on the card before `write` returns. Any thread."""

    def __init__(
        self,
        directory: Path,
        clock: Clock,
        seen: Callable[[Entry], object] = lambda entry: None,
        last: int | None = None,
    ) -> None:
        """`seen` is told of each event that is in it already. What follows the event numbered
        `last` is dropped: for whoever signs how far a log has come and went no further."""
        directory.mkdir(mode=0o750, parents=True, exist_ok=True)
        self._path = directory / "log"
        self._clock = clock
        self._lock = threading.Lock()
        self._number, self._head = self._recover(seen, last)

    @property
    def head(self) -> Head:
        """How far it has come."""
        return Head(self._number, self._head)

    @property
    def begun(self) -> bool:
        """True once there is an event in it."""
        return self._number > 0

    def write(self, event: Event, **ids: str) -> None:
        """Add one event. Raises NotPossible when the card says no."""
        self.append(event, ids)

    def append(self, event: str, ids: dict[str, str]) -> Entry:
        """`write`, for a chain that has events of its own; returns what was written."""
        with self._lock:
            now = self._clock.read()
            entry = Entry(
                number=self._number + 1,
                wall=now.wall,
                boot=now.boot,
                boottime=now.boottime,
                event=event,
                ids=ids,
                before=self._head,
            )
            line = to_json(entry)
            try:
                with open(self._path, "ab", buffering=0) as file:
                    file.write(line + b"\n")
                    os.fdatasync(file.fileno())
            except OSError as error:
                raise NotPossible(
                    "The log could not be written: %(why)s.", why=error.strerror
                ) from error
            self._number, self._head = entry.number, hashlib.sha256(line).hexdigest()
            return entry

    def _recover(self, seen: Callable[[Entry], object], last: int | None) -> tuple[int, str]:
        """Where the chain stands; a last line that a power cut left torn is dropped."""
        head, end = Head(0, START), 0
        # One's own is read however long it has become.
        for link in links(self._path, most=sys.maxsize):
            if link.entry.number - 1 == last:
                break
            seen(link.entry)
            head, end = link.head, link.end
        with contextlib.suppress(FileNotFoundError):
            if end < self._path.stat().st_size:
                os.truncate(self._path, end)
        return head.number, head.sha256


@dataclass(frozen=True)
class Link:
    """An entry, how far the chain has come with it, and at which byte of the log its line ends."""

    entry: Entry
    head: Head
    end: int


def links(path: Path, most: int = LARGEST_LOG) -> Iterator[Link]:
    """The log at `path` as it is now, link by link, one in memory at a time; none if there is none.

    Another process may have put anything there. A line that is being written just now is left out.
    Raises OSError; BadFile naming the first link that does not hold, or for more than `most` bytes.
    """
    head, end = Head(0, START), 0
    try:
        with open_plain(path) as file:
            while (line := file.readline(_LONGEST_LINE)).endswith(b"\n"):
                entry, head = _next(head, line[:-1])
                end += len(line)
                if end > most:
                    break
                yield Link(entry, head, end)
    except FileNotFoundError:
        return
    if end > most or len(line) == _LONGEST_LINE:
        raise BadFile(
            "The log is longer than ours become, from line %(number)s on.", number=head.number
        )


def check_chain(data: bytes) -> list[Entry]:
    """The entries of a log. Raises BadFile naming the first link that does not hold."""
    entries = []
    head = Head(0, START)
    for line in lines(data):
        entry, head = _next(head, line)
        entries.append(entry)
    return entries


def _next(head: Head, line: bytes) -> tuple[Entry, Head]:
    """The entry in the line that follows `head`, and the head that follows it. Raises BadFile."""
    number = head.number + 1
    try:
        entry = from_json(line, Entry)
    except BadFile as error:
        raise BadFile(
            "The log is broken at line %(number)s: %(why)s", number=number, why=error.sentence
        ) from error
    if (entry.number, entry.before) != (number, head.sha256):
        raise BadFile("The log is broken at line %(number)s.", number=number)
    return entry, Head(number, hashlib.sha256(line).hexdigest())


def holds(data: bytes, head: Head) -> bool:
    """True if this log has, at its place, the line that `head` speaks of."""
    if head.number == 0:
        return head.sha256 == START
    found = lines(data)
    return (
        len(found) >= head.number
        and hashlib.sha256(found[head.number - 1]).hexdigest() == head.sha256
    )


def check_heads(notes: Mapping[str, str], verifiers: Sequence[Verifier] = ()) -> list[Heads]:
    """The recorder's notes, in order, by their names. Without `verifiers` nobody vouches for them.
    Raises BadFile, BadSignature, naming the first that is missing or does not follow."""
    found: list[Heads] = []
    before = START
    for number, name in enumerate(sorted(notes), start=1):
        note = notes[name]
        heads = open_fact(note, verifiers, Heads)[0] if verifiers else fact_in(note, Heads)
        if (name, heads.number, heads.before) != (heads_name(number), number, before):
            raise BadFile("The signed heads are broken at %(name)s.", name=name)
        before = hashlib.sha256(note.encode()).hexdigest()
        found.append(heads)
    return found
