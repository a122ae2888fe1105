"""`python -m appliance.sync`: send what is sealed, bring back answers, again and again."""

import contextlib
import random
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

import click
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from appliance.audit import Log
from appliance.clock import Clock, SystemClock
from appliance.config import load_config
from appliance.errors import KitError, NotPossible
from appliance.files import Home, save_fact, to_json
from appliance.receipts import SyncStatus
from appliance.stores import open_store
from appliance.sync.sender import Sender

REST_SECONDS = 20.0
"""Between two runs when all went well."""
FIRST_WAIT, LONGEST_WAIT = 5.0, 600.0
"""Seconds after a run that failed: doubled each time."""
SHOWN_EVERY = 0.5
"""Seconds between two writings of the status, which the page reads."""


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--config",
    "settings",
    type=click.Path(path_type=Path),
    required=True,
    metavar="FILE",
    help="The kit's settings.",
)
@click.option("--once", is_flag=True, help="Send what is here, then end.")
@click.option("--json", "as_json", is_flag=True, help="Print how each run ended as a JSON object.")
def sync(settings: Path, once: bool, as_json: bool) -> None:
    """Send sealed films to the service, each confirmed byte for byte, and bring its answers."""
    config = load_config(settings)
    home = config.places
    with home.claim("sync"):
        home.prepare(home.receipts, home.inbox, home.status("sync").parent)
        clock = SystemClock()
        log = Log(home.log("sync"), clock)
        failures = 0
        while True:
            with _shown(home, clock, bar=once and not as_json) as show:
                sender = Sender(home, lambda: open_store(config.store), clock, log, show)
                status, error = _attempt(sender)
            _say(status, error, as_json)
            if once:
                sys.exit(0 if status.state == "sent" else 1)
            failures = failures + 1 if error else 0
            time.sleep(wait_seconds(failures, random.random()))  # noqa: S311


def wait_seconds(failures: int, chance: float) -> float:
    """How long to rest after this many failed runs in a row; `chance` (0 to 1) keeps many kits
    from coming in step."""
    if not failures:
        return REST_SECONDS
    longest = min(LONGEST_WAIT, FIRST_WAIT * 2.0 ** min(failures - 1, 10))
    return longest * (1 + chance) / 2


def _attempt(sender: Sender) -> tuple[SyncStatus, KitError | None]:
    try:
        return sender.run(), None
    except KitError as error:
        return sender.ended(error), error
    except OSError as error:
        refused = _own_card(error)
        return sender.ended(refused), refused


def _own_card(error: OSError) -> NotPossible:
    """What this kit's own disk said; what a store says is a KitError by now."""
    return NotPossible(
        f"This kit's own card refused something: {error.strerror} ({error.filename}).",
        "Look at the card: is it full, read-only or worn?",
    )


@contextlib.contextmanager
def _shown(home: Home, clock: Clock, bar: bool) -> Iterator[Callable[[SyncStatus], None]]:
    """Where a status goes: into the file for the page, and onto a terminal if there is one."""
    columns = (TextColumn("Sending"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    console = Console(stderr=True)
    progress = Progress(*columns, console=console, disable=not (bar and console.is_terminal))
    task = progress.add_task("", total=None)
    written = float("-inf")

    def show(status: SyncStatus) -> None:
        nonlocal written
        total = status.sent_bytes + status.waiting_bytes
        progress.update(task, completed=status.sent_bytes, total=total)
        if status.state != "sending" or clock.monotonic() - written >= SHOWN_EVERY:
            written = clock.monotonic()
            save_fact(home.status("sync"), status)

    with progress:
        yield show


def _say(status: SyncStatus, error: KitError | None, as_json: bool) -> None:
    for problem in status.problems:
        click.echo(f"attune sync: {problem.object}: {problem.sentence}", err=True)
    for case in status.withdrawn_elsewhere:
        click.echo(
            f"attune sync: The family of case {case} has withdrawn; nothing of it is sent.\n"
            "Unlock the page: it removes the case here as well.",
            err=True,
        )
    if error is not None:
        click.echo(f"attune sync: {error}", err=True)
    if as_json:
        click.echo(to_json(status).decode())
    else:
        size = f"{status.sent_bytes / 1e6:.1f} MB"
        left = f"{status.waiting} wait here" if status.waiting else "nothing is waiting"
        click.echo(f"Sent and confirmed: {status.sent} ({size}); {left}.")


def _interrupt(number: int, frame: object) -> NoReturn:
    raise KeyboardInterrupt


def main() -> NoReturn:
    """The program: an error becomes words here and in `sync`, and nowhere else."""
    # So that nothing half-sent is left lying in the store when systemd ends us.
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        sync(standalone_mode=False, prog_name="attune sync")
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo("attune sync: stopped; what is left goes next time.", err=True)
        sys.exit(1)
    except KitError as error:
        click.echo(f"attune sync: {error}", err=True)
        sys.exit(error.exit_status)
    except OSError as error:
        click.echo(f"attune sync: {_own_card(error)}", err=True)
        sys.exit(1)
    sys.exit(0)


if __name__ == "__main__":
    main()
