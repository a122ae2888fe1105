"""What happened, in a chain that cannot be quietly rewritten.

One log a process: a line of JSON an event, each holding the SHA-256 of the line before, so that a
line taken out or altered breaks every line after it. Events are codes and random ids; no name, no
word of a family, no key.
"""

import hashlib
import os
from pathlib import Path

from appliance.clock import Clock
from appliance.errors import BadFile, NotPossible
from appliance.files import Fact, Moment, from_json, to_json

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


class Log:
    """Append events to one process's log, each on the card before `write` returns."""

    def __init__(self, directory: Path, clock: Clock) -> None:
        directory.mkdir(mode=0o750, parents=True, exist_ok=True)
        self._path = directory / "log"
        self._clock = clock
        self._number, self._head = self._recover()

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
