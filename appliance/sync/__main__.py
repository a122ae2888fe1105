"""`python -m appliance.sync`: send what is sealed, bring back answers, again and again."""

import contextlib
import os
import random
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from urllib.parse import urlsplit

from appliance import memory, program
from appliance.config import Config
from appliance.errors import BadFile, KitError, error_json, own_card
from appliance.factory_reset import give_way
from appliance.notify import Pulse, notify
from appliance.protocol.status import EndsSoon, SyncStatus, Why, is_at_base
from appliance.records.audit import Log
from appliance.records.clock import Clock, SystemClock
from appliance.records.files import ID, Home, is_there, paths_in, save_fact, to_json
from appliance.stores import REMOTE, open_store, store_url
from appliance.stores.access import Access, load_access
from appliance.sync.place import links, needs_a_network, why_not, within
from appliance.sync.plan import Pace
from appliance.sync.sender import Manner, Sender

REST_SECONDS = 20.0
"""Between two looks at what there is to send."""
COMPARE_SECONDS = 7 * 86400.0
"""Between two looks whether the store still has what it confirmed; the first comes at the start."""
CONTACT_SECONDS = 120.0
"""Between two contacts when there is nothing to send, to hear of withdrawals elsewhere."""
FIRST_WAIT, LONGEST_WAIT = 5.0, 600.0
"""Seconds after a run that failed: doubled each time."""
LOOK_SECONDS = 5.0
"""Between two looks, while films are on their way, at whether this is still the place for it."""
PULSE_SECONDS = 20.0
"""Between two pulses while it rests; the watchdog of its unit waits many times as long."""
SHOWN_EVERY = 0.5
"""Seconds between two writings of the status, which the page reads."""

_FOLDERS = ("documents", "clips", "shares", "ends", "derived", "imports", "withdrawn", "holds")

_LARGE = 256 * 1024
"""Bytes of memory: twice what is read, hashed and sent at once."""
_WAITS = {
    "not-at-base": "This network is not known as base, so nothing was sent.\n"
    "Say on the page, under Sending, that the kit is at base; or connect it by cable.",
    "no-network": "There is no network.\nConnect the kit by cable, or to the network at base.",
    "out-of-hours": "Nothing is sent at this hour.\nIt begins by itself at the hour set for it.",
}


def sync(config: Config, once: bool, json: bool) -> int:
    """Send sealed films to the service, each confirmed byte for byte, and bring its answers."""
    home = config.places
    home.prepare(home.receipts, home.inbox, home.status("sync").parent)
    alive = Pulse()
    notify("READY=1")
    give_way(home, "sync", alive=alive)
    clock = SystemClock()
    log = Log(home.log("sync"), clock)
    pace = Pace(config.store_kilobits * 1000 / 8)
    # A network came or went, says the dispatcher: what failed before says nothing of it.
    nudged = threading.Event()
    signal.signal(signal.SIGHUP, lambda *_: nudged.set())
    failures = 0
    warned: set[EndsSoon] = set()
    contact = compared = float("-inf")
    seen, told, last = 0.0, None, None
    while True:
        alive()
        why = _why_not(config, clock)
        changed = last_change(home)
        quiet = changed == seen and clock.monotonic() - contact < CONTACT_SECONDS
        if once or why or failures or not quiet:
            with _shown(home, clock, bar=once and not json) as show:
                sender = Sender(
                    home,
                    lambda: open_store(config.store, _access(config)),
                    clock,
                    log,
                    show,
                    Manner(
                        # A line that has just failed is a weak one: one at a time, then.
                        in_flight=1 if failures else in_flight(config),
                        pace=pace,
                        rest=lambda seconds: _rest(threading.Event(), seconds, alive),
                        still=_still_here(config, clock),
                        emptying=config.emptying,
                        alive=alive,
                    ),
                    last,
                )
                # The store may have lost something while this kit was away.
                compare = not once and is_due(compared, clock.monotonic())
                status, error = _attempt(sender, config.store, why, compare)
                last = status.last_confirmed
            if not why or why != told:
                _say(status, error, json)
                _warn(status, warned, log)
            told = why
            if once:
                return 0 if status.state == "sent" else 1
            failures = failures + 1 if error else 0
            if not error and not why:
                contact, seen = clock.monotonic(), changed
                compared = contact if compare else compared
        if _rest(nudged, wait_seconds(failures, random.random()), alive):  # noqa: S311
            nudged.clear()
            failures = 0


def is_due(compared: float, now: float) -> bool:
    """True if it is time to hold the receipts against the store's listing again (monotonic)."""
    return now - compared >= COMPARE_SECONDS


def _rest(until: threading.Event, seconds: float, alive: Callable[[], object]) -> bool:
    """Wait for an event, at most so long; True if it came. The watchdog hears of it meanwhile."""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        alive()
        if until.wait(min(left, PULSE_SECONDS)):
            return True
    return until.is_set()


def in_flight(config: Config) -> int:
    """How many files are on their way at once. A disk gains nothing by several."""
    return config.store_in_flight if urlsplit(config.store).scheme in REMOTE else 1


def last_change(home: Home) -> float:
    """When anything that could be sent last changed. Only folders are looked at."""
    places = [home.kit, home.cases]
    for case in _inside(home.cases):
        for folder in (case, *(case / name for name in _FOLDERS)):
            places += [folder, *_inside(folder)]
    places += [recording / "manifest" for recording in _inside(home.recordings)]
    newest = 0.0
    for place in places:
        with contextlib.suppress(OSError):
            newest = max(newest, place.lstat().st_mtime)
    return newest


def _inside(directory: Path) -> list[Path]:
    with contextlib.suppress(BadFile, OSError):
        return paths_in(directory, ID)
    return []


def _why_not(config: Config, clock: Clock) -> Why | None:
    if not within(config.store_hours, datetime.now().astimezone().time()):
        return "out-of-hours"
    if not needs_a_network(config.store):
        return None
    home = config.places
    return why_not(
        links(),
        at_base=is_at_base(home, clock.read()),
        listed=config.base_networks,
        armed=is_there(home.permit),
    )


def _still_here(config: Config, clock: Clock) -> Callable[[], bool]:
    """Says whether the network is still one to send in; it looks every few seconds at most."""
    looked, here = clock.monotonic(), True

    def still() -> bool:
        nonlocal looked, here
        if clock.monotonic() - looked >= LOOK_SECONDS:
            looked, here = clock.monotonic(), _why_not(config, clock) is None
        return here

    return still


def _access(config: Config) -> Access | None:
    return load_access(Path(config.store_access) if config.store_access else None)


def wait_seconds(failures: int, jitter: float) -> float:
    """How long to rest after this many failed runs in a row; `jitter` (0 to 1) keeps many kits
    from coming in step."""
    if not failures:
        return REST_SECONDS
    longest = min(LONGEST_WAIT, FIRST_WAIT * 2.0 ** min(failures - 1, 10))
    return longest * (1 + jitter) / 2


def _attempt(
    sender: Sender, store: str, why: Why | None, compare: bool
) -> tuple[SyncStatus, KitError | None]:
    try:
        return (sender.waits(store_url(store), why) if why else sender.run(compare)), None
    except KitError as error:
        ended = error
    except OSError as error:
        ended = own_card(error)
    return sender.ended(ended, store_url(store)), ended


@contextlib.contextmanager
def _shown(home: Home, clock: Clock, bar: bool) -> Iterator[Callable[[SyncStatus], None]]:
    """Where a status goes: into the file for the page, and onto a terminal if there is one."""
    written = float("-inf")

    def show(status: SyncStatus, drawn: Callable[[int, int], object] | None = None) -> None:
        nonlocal written
        if drawn is not None:
            drawn(status.sent_bytes, status.sent_bytes + status.waiting_bytes)
        if status.state != "sending" or clock.monotonic() - written >= SHOWN_EVERY:
            written = clock.monotonic()
            save_fact(home.status("sync"), status)

    if not (bar and sys.stderr.isatty()):
        yield show
        return
    # Only at a terminal: it takes memory.
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    columns = (TextColumn("Sending"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task("", total=None)
        yield lambda status: show(
            status, lambda done, total: progress.update(task, completed=done, total=total)
        )


def _say(status: SyncStatus, error: KitError | None, as_json: bool) -> None:
    for problem in status.problems:
        print(f"attune sync: {problem.object}: {problem.sentence}", file=sys.stderr)
    for case in status.withdrawn_elsewhere:
        print(
            f"attune sync: The family of case {case} has withdrawn; nothing of it is sent.\n"
            "Unlock the page: it removes the case here as well.",
            file=sys.stderr,
        )
    if error is not None:
        print(f"attune sync: {error}", file=sys.stderr)
    if status.state == "waiting":
        print(f"attune sync: {_WAITS[status.error]}", file=sys.stderr)
    if as_json:
        print(to_json(status).decode(), flush=True)
    else:
        size = f"{status.sent_bytes / 1e6:.1f} MB"
        left = f"; {status.waiting} wait here" if status.waiting else ""
        if status.state == "sent":
            left = "; nothing is waiting"
        print(f"Sent and confirmed: {status.sent} ({size}){left}.", flush=True)


def _warn(status: SyncStatus, warned: set[EndsSoon], log: Log) -> None:
    """Say of each thing that ends soon, once while this process lives, and write it down."""
    for ending in set(status.ends) - warned:
        warned.add(ending)
        log.write("ends-soon", what=ending.what, at=f"{ending.at:%Y-%m-%d}")
        print(f"attune sync: {ending.sentence} ({ending.at:%d %B %Y})", file=sys.stderr)


def main() -> int:
    """The program: an error becomes words in `program.run` and in `sync`, and nowhere else."""
    # What was on its way is given back at once: otherwise the C library keeps room for each thread
    # that ever had some.
    memory.settle(_LARGE)
    memory.give_back()  # A mebibyte that only the start needed.
    # So that nothing half-sent is left lying in the store when systemd ends us.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        return program.run(
            "sync",
            "Send what is sealed to the service, and bring its answers.",
            sync,
            once="send what is here, then end",
            json="print how each run ended as a JSON object",
        )
    except KeyboardInterrupt:
        print("attune sync: stopped; what is left goes next time.", file=sys.stderr)
        print(error_json(sys.argv[1:], "stopped", "Stopped."), end="", flush=True)
        os._exit(1)  # What is on its way would be waited for.


if __name__ == "__main__":
    sys.exit(main())
