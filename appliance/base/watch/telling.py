"""Telling those who do not look: a heartbeat, figures for a dashboard, and a command of theirs.

None of it holds a secret, or anything of a family but the ids that stand in the store's names.
"""

import json
import os
import shlex
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from datetime import datetime, timedelta
from pathlib import Path

from appliance.base.status import Finding
from appliance.errors import BadFile, BadInput, KitError, NotPossible
from appliance.records.files import Fact, Timestamp, load_fact, save, save_fact

STANDS_STILL = timedelta(minutes=15)
"""Rounds come every few seconds; a long one, over a slow line, takes minutes."""
_COMMAND_SECONDS = 60.0
_PASSED_ON = ("PATH", "HOME", "LANG", "LC_ALL", "TZ")


class Heartbeat(Fact, frozen=True, kw_only=True, tag="base-heartbeat/v1"):
    """The end of a round."""

    at: Timestamp
    error: str = ""
    """Code of what ended it, '' where it went to its end."""
    open: int = 0
    """Orders that are refused, failed or wait for a yes."""


def beat(path: Path, at: datetime, error: str = "", unfinished: int = 0) -> None:
    """Leave word that a round has ended. Raises OSError."""
    save_fact(path, Heartbeat(at=at, error=error, open=unfinished))


def stands_still(path: Path, now: datetime) -> Iterator[Finding]:
    """Whether rounds have come to no end for long."""
    last = None
    with suppress(BadFile, OSError):
        last = load_fact(path, Heartbeat)
    if last is None or now - last.at > STANDS_STILL:
        yield Finding(
            "Base has stopped: no family's order is being carried out.",
            last.at if last else None,
            "Look at it: systemctl status attune-base, then start it again.",
        )
    elif last.error:
        yield Finding(
            f"Base's last round was ended by {last.error}.",
            last.at,
            "Read what it says: journalctl -u attune-base. It tries again by itself.",
        )


def failed(error: KitError) -> Finding:
    """What somebody should look at when nobody could look."""
    return Finding(f"Base could not look at its store: {error.sentence}", None, error.hint)


def unwritten_figures(error: KitError) -> Finding:
    """That whoever looks at a dashboard sees what was."""
    return Finding(f"Base could not write its figures: {error.sentence}", None, error.hint)


def figures(path: Path, found: Sequence[Finding], counts: Mapping[str, int], now: datetime) -> None:
    """Write what Prometheus' node_exporter takes up from its textfile directory: the file's name
    ends in .prom there. Raises OSError."""
    since = [finding.since for finding in found if finding.since]
    oldest = max(0.0, (now - min(since)).total_seconds()) if since else 0.0
    rows = {
        "looked_timestamp_seconds": ("When base last looked.", now.timestamp()),
        "findings": ("What somebody should look at.", len(found)),
        "oldest_finding_seconds": ("How long the oldest of it has been so.", oldest),
        **{name: (f"Number of {name} at the store.", count) for name, count in counts.items()},
    }
    lines = [
        f"# HELP attune_base_{name} {told}\n# TYPE attune_base_{name} gauge\n"
        f"attune_base_{name} {value:.0f}\n"
        for name, (told, value) in rows.items()
    ]
    save(path, "".join(lines).encode(), mode=0o644)
    path.chmod(0o644)  # node_exporter is another user, and the unit's umask lets nobody in.


def notify(command: str, found: Sequence[Finding], now: datetime) -> None:
    """Run somebody's own command, with what was found as one JSON object on its standard input. It
    gets no credential and none of base's environment but where programs are and the language.

    Raises BadInput for what is no command, NotPossible where it failed.
    """
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise BadInput("--notify is no command: %(why)s.", why=error) from error
    findings = [asdict(finding) | {"sentence": finding.sentence} for finding in found]
    told = json.dumps({"at": now, "findings": findings}, default=datetime.isoformat)
    environment = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    try:
        done = subprocess.run(
            words, input=told.encode(), env=environment, timeout=_COMMAND_SECONDS, check=False
        )
    except (OSError, IndexError, subprocess.TimeoutExpired) as error:
        raise _not_told(command) from error
    if done.returncode:
        raise _not_told(command)


def _not_told(command: str) -> NotPossible:
    return NotPossible(
        "Nobody was told: the command of --notify failed (%(command)s).",
        'Try it by hand, with an object such as {"findings": []} on its standard input.',
        command=command,
    )
