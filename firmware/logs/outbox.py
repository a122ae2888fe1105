"""The kit's logs and its notes of removed films, sealed to the service for the way there.

Every hour, and when the recorder starts and ends, what is new goes into the next numbered part in
`kit/outbox/`; sync sends it. What was put there already stands in `kit/outbox/so-far`.
"""

import threading
from collections.abc import Iterator
from contextlib import suppress

import msgspec

from appliance.age.sealing import seal
from appliance.errors import BadFile, KitError
from appliance.protocol.enrolment import Enrolled
from appliance.protocol.kit_logs import MOST_PARTS, PART_NAME, Lines, LogPart, part_name
from appliance.records.audit import links
from appliance.records.files import (
    ID,
    Fact,
    Home,
    load_fact,
    paths_in,
    read_text,
    save,
    save_fact,
    to_json,
)
from appliance.records.signing import Signer, sign_fact

EVERY_SECONDS = 3600.0
FIRST_SECONDS = 10.0
_PROCESSES = ("recorder", "web", "sync")
_LONGEST = 1 << 20
"""Bytes of one log in one part."""
_MOST_NOTES = 500


class _SoFar(Fact, frozen=True, kw_only=True, tag="outbox/v1"):
    """What was put into the outbox already."""

    number: int
    logs: dict[str, int] = msgspec.field(default_factory=dict)
    removed: tuple[str, ...] = ()


class Outbox:
    """Seals what is new. Any thread; one at a time."""

    def __init__(self, home: Home, signer: Signer) -> None:
        self._home = home
        self._signer = signer
        self._lock = threading.Lock()
        home.prepare(home.outbox)

    def put(self) -> int:
        """Put what is new into the outbox; returns how many parts that were: none before the kit
        belongs to a service. Raises NotPossible or OSError when the card says no, BadInput where
        the service's card cannot be sealed to."""
        with self._lock:
            count = 0
            enrolled = load_fact(self._home.enrolled, Enrolled)
            while enrolled is not None and self._put_one(enrolled):
                count += 1
            return count

    def keep_watch(self, ended: threading.Event) -> None:
        """Put what is new soon and each hour until `ended`; for a thread of its own."""
        wait = FIRST_SECONDS
        while not ended.wait(wait):
            with suppress(KitError, OSError):
                self.put()
            wait = EVERY_SECONDS

    def _put_one(self, enrolled: Enrolled) -> bool:
        before = self._so_far()
        part = LogPart(
            kit=self._signer.verifier.name.removeprefix("kit-"),
            # Sync may have sent what a cut left there: a number is never used twice.
            number=max(before.number, self._newest()) + 1,
            logs=dict(self._new_lines(before)),
            removed=dict(self._new_notes(before)),
        )
        if not part.logs and not part.removed:
            return False
        note = sign_fact(self._signer, part).encode()
        sealed = seal(note, enrolled.chain.recipients())
        # A cut between these two makes the same lines go once more, in the next part.
        save(self._home.outbox / part_name(part.number), sealed)
        done = {name: new.first - 1 + new.text.count("\n") for name, new in part.logs.items()}
        now = _SoFar(
            number=part.number,
            logs={**before.logs, **done},
            removed=(*before.removed, *part.removed),
        )
        save_fact(self._home.outbox / "so-far", now)
        return True

    def _so_far(self) -> _SoFar:
        with suppress(BadFile):
            found = load_fact(self._home.outbox / "so-far", _SoFar)
            if found is not None:
                return found
        return _SoFar(number=0)  # Lost: all goes once more, behind what lies there.

    def _newest(self) -> int:
        names = [path.stem for path in paths_in(self._home.outbox, PART_NAME, MOST_PARTS)]
        return int(names[-1]) if names else 0

    def _new_lines(self, before: _SoFar) -> Iterator[tuple[str, Lines]]:
        for process in _PROCESSES:
            have, new, size = before.logs.get(process, 0), list[str](), 0
            # What was written anew there is told by the recorder's signed heads.
            with suppress(BadFile, OSError):
                for link in links(self._home.log(process) / "log"):
                    if link.entry.number > have and size < _LONGEST:
                        new.append(to_json(link.entry).decode())
                        size += len(new[-1])
            if new:
                yield process, Lines(have + 1, "".join(f"{line}\n" for line in new))

    def _new_notes(self, before: _SoFar) -> Iterator[tuple[str, str]]:
        told = set(before.removed)
        new = [path for path in paths_in(self._home.removed, ID) if path.name not in told]
        for path in new[:_MOST_NOTES]:
            with suppress(BadFile, OSError):
                yield path.name, read_text(path)
