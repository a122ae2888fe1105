"""Copies for the family: written to a stick in the background, or downloaded while the page is
open.

How far a copy is and the words that open locked copies are in memory only. They are gone when the
page is locked.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

import msgspec

from appliance.age.unsealing import SealedReader
from appliance.casework.clips import Kept
from appliance.casework.copies import HOW_TO_OPEN, Copies, State, locked, names, opened, plain
from appliance.errors import KitError, NotOpened, NotPossible, frames
from appliance.vault.cases import OpenCase
from appliance.viewer import NAME as VIEWER
from appliance.viewer import viewer
from web_ui.system.usb_sticks import Folder, Sticks

_log = logging.getLogger(__name__)


class Cancelled(KitError):
    """The copies were cancelled."""

    code = "copies-cancelled"


@dataclass
class Handing:
    """One set of copies."""

    receipt: Copies
    case: str
    kept: Sequence[Kept]
    words: str
    """The passphrase of locked copies: the family writes it down, and nobody else has it."""
    device: str = ""
    state: Literal["writing", "done", "failed"] = "done"
    done: float = 0.0
    error: KitError | None = None
    not_let_go: KitError | None = None
    """Why the stick must not be pulled out yet, although the copies are on it."""
    cancelled: threading.Event = field(default_factory=threading.Event)
    _come: int = 0

    @property
    def files(self) -> dict[str, Kept]:
        """Each moment by the name of its copy, in order."""
        return dict(zip(names(self.kept, self.receipt.locked), self.kept, strict=True))

    def go_on(self, size: int) -> None:
        """Count the bytes that come next. Raises Cancelled."""
        if self.cancelled.is_set():
            raise Cancelled("The copies were cancelled.")
        self._come += size
        self.done = min(self._come / sum(one.size for one in self.kept), 0.99)


class Copying:
    """The copies that one practitioner hands out. Any thread; a thread of its own writes each
    stick."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._handings: dict[str, Handing] = {}
        self._writing: list[threading.Thread] = []
        self._gone = False

    def find(self, name: str, case: str) -> Handing | None:
        """These copies; None if the page was locked since."""
        with self._lock:
            found = self._handings.get(name)
        return found if found and found.case == case else None

    def write(
        self,
        handing: Handing,
        sticks: Sticks,
        case: Callable[[], OpenCase],
        check: Callable[[Kept], None],
        letter: str,
        note: Callable[[State], None],
    ) -> None:
        """Write what was added to its stick, in the background. `letter` and the viewer go
        beside locked ones.

        `case` gives the case, and raises once it is closed; `check` raises when a moment may not
        be copied any more; `note` writes to the log how it ended.
        """

        def fill(folder: Folder) -> None:
            beside = {HOW_TO_OPEN: letter.encode(), VIEWER: viewer()} if handing.words else {}
            sizes = (*(one.size for one in handing.kept), *map(len, beside.values()))
            folder.check_free_space(sizes)
            for name, kept in handing.files.items():
                check(kept)
                with opened(case(), kept) as reader:
                    folder.put(name, handed(reader, handing, case)[1])
            for name, data in beside.items():
                folder.put(name, [data])

        def work() -> None:
            left = _written(handing, sticks, fill)
            receipt = msgspec.structs.replace(handing.receipt, state=left)
            try:
                case().write(receipt, receipt.id)
                handing.receipt = receipt
                note(left)
            except KitError as error:
                # Locked or withdrawn meanwhile. The receipt still says "begun": at worst, all of it
                # is out.
                handing.error = handing.error or error
            handing.state = "failed" if handing.error else "done"

        writing = threading.Thread(target=work, name="copies", daemon=True)
        self._writing.append(writing)
        writing.start()

    def marker(self) -> str:
        """Differs from before when something has ended."""
        with self._lock:
            return " ".join(f"{name[:4]}{one.state[0]}" for name, one in self._handings.items())

    def making(self) -> dict[str, int]:
        """Percent of what is being written, by its id."""
        with self._lock:
            return {
                name: int(100 * one.done)
                for name, one in self._handings.items()
                if one.state == "writing"
            }

    def close(self) -> None:
        """Forget everything; what is being written ends at its next piece."""
        with self._lock:
            self._gone = True
            for one in self._handings.values():
                one.cancelled.set()
            self._handings.clear()

    def wait(self, seconds: float) -> None:
        """Wait, at most so long, until every stick that was being written is ejected."""
        until = time.monotonic() + seconds
        for writing in self._writing:
            writing.join(max(until - time.monotonic(), 0.0))

    def add(self, handing: Handing) -> None:
        """Begin to hand out; downloads are there at once. Raises NotPossible while another stick is
        being written."""
        handing.state = "writing" if handing.device else "done"
        with self._lock:
            if self._gone:
                raise NotOpened("The page locked.")
            if handing.device and any(one.state == "writing" for one in self._handings.values()):
                raise NotPossible(
                    "The kit is making other copies.", "Wait until they are finished."
                )
            self._handings[handing.receipt.id] = handing


def handed(
    reader: SealedReader, handing: Handing, case: Callable[[], OpenCase]
) -> tuple[int, Iterator[bytes]]:
    """The size of a copy and its bytes as they leave the kit. Locking or withdrawing ends it."""

    def go_on(size: int) -> None:
        case()
        handing.go_on(size)

    if handing.receipt.locked:
        return locked(reader, handing.words, go_on)
    return reader.size, plain(reader, go_on)


def _written(handing: Handing, sticks: Sticks, fill: Callable[[Folder], None]) -> State:
    """Fill a new folder on the stick, eject the stick, and return what is on it now."""
    left: State = "nothing"
    try:
        with Folder(sticks.ready(handing.device)) as folder:
            left = "partly"
            try:
                fill(folder)
            except BaseException:
                left = "nothing" if folder.take_back() else "partly"
                raise
        left = "done"
    except KitError as error:
        handing.error = error
    except Exception as error:
        _log.error("copies failed: %s", frames(error))
        handing.error = NotPossible("We could not make the copies.", "Try again.")
    try:
        sticks.eject(handing.device)
    except KitError as error:
        handing.not_let_go = error
    return left
