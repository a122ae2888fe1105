"""Run the tests tier by tier and end with what each took and one line of totals.

    python tools/tiers.py                        every tier
    python tools/tiers.py check ...              only those named
    python tools/tiers.py --again 10 check ...   each of them ten times in a row, with a process
                                                 at full load beside it

All tiers run, whatever failed before them: one run tells everything. A tier that finds no test
is a failure, so that none is ever lost by a renamed folder. Exit 0 if nothing failed, else 1.

Each run of --again is a line in docs/again.jsonl, with the code that it ran on: begun again, on
this machine or another, it does the runs that are missing. A run that fails ends the row, and the
next row begins anew. How many states of the code a row is of stands at its end.
"""

import argparse
import json
import os
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
BIN = ROOT / ".venv" / "bin"
LONGEST_STEP = 40 * 60
"""Seconds: what hangs is a failure that is told, not a build server's time running out."""
ENVIRONMENT = {
    name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"
}
"""Each test of a whole kit starts processes: compiled anew, each takes twice as long to start."""
KEPT = ROOT / "docs" / "again.jsonl"
REPORT = ROOT / "build" / "tests.xml"
FOLDERS_WITH_A_TIER = ("promises", "browser", "rig", "boot", "vm", "stores")


@dataclass(frozen=True)
class Step:
    """One command. `tests` says that it is pytest, whose own counts are taken."""

    name: str
    command: tuple[str, ...]
    tests: bool = False


def tool(name: str, *arguments: str) -> Step:
    return Step(name, (str(BIN / name), *arguments))


def tests(name: str, *arguments: str) -> Step:
    pytest = (str(BIN / "pytest"), "-q", f"--junitxml={REPORT}", *arguments)
    return Step(name, pytest, tests=True)


MODULES = ("tests", *(f"--ignore=tests/{folder}" for folder in FOLDERS_WITH_A_TIER))
SHARED = ("-n", "auto", "--dist", "worksteal")
"""Tests that mostly wait, the browser for the page and the page for the kit: a process for each
processor, and whichever is done first takes over what the other has left."""
TIERS = {
    "check": (
        tool("ruff", "format", "--check", "--quiet", "."),
        tool("ruff", "check", "--quiet", "."),
        tool("mypy"),
        tests("unit", *MODULES, "-n", "auto", "-m", "not interop and not slow"),
    ),
    "interop": (tests("interop", *MODULES, *SHARED, "-m", "interop or slow"),),
    # Real servers on loopback: Ceph, OpenSSH, Azurite.
    "stores": (tests("stores", "tests/stores"),),
    "promises": (tests("promises", "tests/promises", *SHARED),),
    "browser": (tests("browser", "tests/browser", *SHARED),),
    # In a root of its own, where picamera2 is; the script adds which tests.
    "rig": (Step("rig", (f"{ROOT}/tests/rig/pytest.sh", f"--junitxml={REPORT}"), tests=True),),
    # The package on a system that boots.
    "boot": (Step("boot", (f"{ROOT}/tests/rig/boot.sh", f"--junitxml={REPORT}"), tests=True),),
    # The package on a kernel of its own: pins, limits that only a kernel enforces, pulled plugs.
    "vm": (Step("vm", (f"{ROOT}/tests/rig/vm.sh", f"--junitxml={REPORT}"), tests=True),),
    "rehearse": (tool("attune", "rehearse", "--stock-age", f"node {ROOT}/tests/typage/age.mjs"),),
}


def run(step: Step, report: Path = REPORT) -> Counter[str]:
    """Run one step and count what passed, failed and was skipped; a tool counts as one test."""
    print(f"\n--- {' '.join(step.command).replace(f'{ROOT}/', '')}", flush=True)
    report.unlink(missing_ok=True)
    try:
        status = subprocess.run(
            step.command,
            cwd=ROOT,
            env=ENVIRONMENT,
            stdin=subprocess.DEVNULL,
            timeout=LONGEST_STEP,
        ).returncode
    except subprocess.TimeoutExpired:
        print(f"{step.name} was still running after {LONGEST_STEP // 60} minutes.", flush=True)
        status = 1
    counts = Counter({"passed": int(status == 0 and not step.tests)})
    if step.tests and report.exists():
        for suite in ElementTree.parse(report).iter("testsuite"):  # noqa: S314 - our own
            ran, failures, errors, skipped = (
                int(suite.get(key, 0)) for key in ("tests", "failures", "errors", "skipped")
            )
            counts["passed"] += ran - failures - errors - skipped
            counts["failed"] += failures + errors
            counts["skipped"] += skipped
    if not counts["failed"] and (status != 0 or not counts["passed"]):
        # A tool that refused, a pytest that could not begin, found no test or skipped them all.
        counts["failed"] = 1
    return counts


def run_tier(name: str) -> tuple[Counter[str], float]:
    """What its steps came to, and the seconds that it took."""
    began = time.monotonic()
    counts = sum((run(step) for step in TIERS[name]), Counter[str]())
    return counts, time.monotonic() - began


def line(name: str, counts: Counter[str], seconds: float) -> str:
    told = ", ".join(f"{counts[key]} {key}" for key in ("passed", "failed", "skipped"))
    return f"{name:10} {seconds:6.0f} s   {told}"


def once(names: Sequence[str]) -> int:
    total: Counter[str] = Counter()
    lines = []
    for name in names:
        counts, seconds = run_tier(name)
        total += counts
        lines.append(line(name, counts, seconds))
    print("\n" + "\n".join(lines))
    print(f"=== {', '.join(f'{total[key]} {key}' for key in ('passed', 'failed', 'skipped'))} ===")
    return 1 if total["failed"] else 0


# --- Again and again ----------------------------------------------------------------------------


def code() -> str:
    """Which code lies here: the commit, with a + where something else is not committed."""
    git = ("git", "-C", str(ROOT))
    changed = (*git, "status", "--porcelain", "--untracked-files=no", "--", ":!docs/*.jsonl")
    commit, other = (
        subprocess.run(command, capture_output=True, check=True, text=True).stdout.strip()
        for command in ((*git, "rev-parse", "--short=12", "HEAD"), changed)
    )
    return f"{commit}+" if other else commit


@contextmanager
def full_load() -> Iterator[None]:
    """A process beside this one that wants a processor for itself."""
    busy = subprocess.Popen((sys.executable, "-c", "while True: pass"))
    try:
        yield
    finally:
        busy.kill()
        busy.wait()


def in_a_row(name: str, kept: Path) -> list[dict[str, Any]]:
    """Each run of this tier since the last that failed, on whatever code it was."""
    row: list[dict[str, Any]] = []
    for text in kept.read_text().splitlines() if kept.exists() else []:
        one = json.loads(text)
        if one["tier"] == name:
            row = [] if one["failed"] else [*row, one]
    return row


def again(names: Sequence[str], times: int, kept: Path) -> int:
    """Run each tier until it passed so often in a row; 1 as soon as one failed."""
    for name in names:
        while len(in_a_row(name, kept)) < times:
            with full_load():
                counts, seconds = run_tier(name)
            one = {"tier": name, "code": code(), "seconds": round(seconds, 1), "failed": 0}
            with open(kept, "a") as file:
                file.write(json.dumps(one | counts) + "\n")
            print(line(name, counts, seconds), flush=True)
            if counts["failed"]:
                return 1
    print()
    for name in names:
        row = in_a_row(name, kept)
        states = len({one["code"] for one in row})
        told = ", ".join(f"{one['seconds']:.0f}" for one in row)
        on = "one state" if states == 1 else f"{states} states"
        print(f"{name:10} passed {len(row)} times in a row, on {on} of the code, in s: {told}")
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(
        description="Run the tests tier by tier, and end with what each took.",
        epilog=f"The tiers: {', '.join(TIERS)}.",
    )
    parser.add_argument("tiers", nargs="*", metavar="TIER", help="only these; without any, all")
    parser.add_argument(
        "--again", type=int, metavar="N", help="each N times in a row, beside a full load"
    )
    asked = parser.parse_args()
    if unknown := [name for name in asked.tiers if name not in TIERS]:
        print(f"There is no tier {unknown[0]}; there are: {', '.join(TIERS)}.", file=sys.stderr)
        return 2
    REPORT.parent.mkdir(exist_ok=True)
    names = asked.tiers or list(TIERS)
    return again(names, asked.again, KEPT) if asked.again else once(names)


if __name__ == "__main__":
    sys.exit(main())
