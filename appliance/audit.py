"""What happened, in a chain that cannot be quietly rewritten.

One log a process: a line of JSON an event, each holding the SHA-256 of the line before, so that a
line taken out or altered breaks every line after it. Events are codes and random ids; no name, no
word of a family, no key.

A process could still write its own chain anew from the start. So the recorder, whom nobody else
commands, notes how far each chain has come and signs that (`Heads`, a numbered signed note in
`kit/heads/`): what was signed once can never again be otherwise, and the service has the notes too.
"""

import hashlib
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from appliance.clock import Clock
from appliance.errors import BadFile, NotPossible
from appliance.files import Fact, Moment, from_json, to_json
from appliance.signing import Verifier, open_note, split_note

START = "0" * 64
"""What the first line holds in place of a digest."""


class Entry(Fact, frozen=True, kw_only=True, tag="log/v1"):
    number: int
    wall: Moment
    """As this machine's clock said; the log's order is its numbers, not its times."""
    boot: str
    boottime: float
    event: str
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
    wall: Moment
    boot: str
    logs: dict[str, Head]
    broken: tuple[str, ...]
    """Processes whose chain no longer holds what was signed before: something rewrote it."""
    before: str
    """SHA-256 (hex) of the signed note before this one."""


HEADS_NAME = re.compile(r"[0-9]{6}")


def heads_name(number: int) -> str:
    """Its name in `kit/heads/`, and at the store."""
    return f"{number:06}"


class Log:
    """Append events to one process's log, each on the card before `write` returns."""

    def __init__(self, directory: Path, clock: Clock) -> None:
        directory.mkdir(mode=0o750, parents=True, exist_ok=True)
        self._path = directory / "log"
        self._clock = clock
        self._number, self._head = self._recover()

    @property
    def begun(self) -> bool:
        """True once there is an event in it."""
        return self._number > 0

    def write(self, event: str, **ids: str) -> None:
        """Add one event. Raises NotPossible when the card says no."""
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
            raise NotPossible(f"The log could not be written: {error.strerror}.") from error
        self._number, self._head = entry.number, hashlib.sha256(line).hexdigest()

    def _recover(self) -> tuple[int, str]:
        """Where the chain stands; a last line that a power cut left torn is dropped."""
        try:
            data = self._path.read_bytes()
        except FileNotFoundError:
            return 0, START
        whole = data[: data.rfind(b"\n") + 1]
        if len(whole) < len(data):
            os.truncate(self._path, len(whole))
        entries = check_chain(whole)
        return (
            (len(entries), hashlib.sha256(whole.split(b"\n")[-2]).hexdigest())
            if entries
            else (0, START)
        )


def check_chain(data: bytes) -> list[Entry]:
    """The entries of a log. Raises BadFile naming the first link that does not hold."""
    entries = []
    head = START
    for number, line in enumerate(data.splitlines(), start=1):
        entry = from_json(line, Entry)
        if entry.number != number or entry.before != head:
            raise BadFile(f"The log is broken at line {number}.")
        head = hashlib.sha256(line).hexdigest()
        entries.append(entry)
    return entries


def head_of(data: bytes) -> Head:
    """How far a whole and unbroken log has come. Raises BadFile."""
    entries = check_chain(data)
    if not entries:
        return Head(0, START)
    return Head(len(entries), hashlib.sha256(data.splitlines()[-1]).hexdigest())


def holds(data: bytes, head: Head) -> bool:
    """True if this log has, at its place, the line that `head` speaks of."""
    if head.number == 0:
        return head.sha256 == START
    lines = data.splitlines()
    return (
        len(lines) >= head.number
        and hashlib.sha256(lines[head.number - 1]).hexdigest() == head.sha256
    )


def check_heads(notes: Mapping[str, str], verifiers: Sequence[Verifier] = ()) -> list[Heads]:
    """The recorder's notes, in order, by their names. Without `verifiers` nobody vouches for them.

    Raises BadFile, BadSignature, naming the first that is missing or does not follow.
    """
    found: list[Heads] = []
    before = START
    for number, name in enumerate(sorted(notes), start=1):
        note = notes[name]
        text = open_note(note, verifiers)[0] if verifiers else split_note(note)[0]
        heads = from_json(text, Heads)
        if (name, heads.number, heads.before) != (heads_name(number), number, before):
            raise BadFile(f"The signed heads are broken at {name}.")
        before = hashlib.sha256(note.encode()).hexdigest()
        found.append(heads)
    return found
