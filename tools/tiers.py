"""Run the tests tier by tier and end with what each took and one line of totals.

    python tools/tiers.py            every tier
    python tools/tiers.py check ...  only those named

All tiers run, whatever failed before them: one run tells everything. A tier that finds no test
is a failure, so that none is ever lost by a renamed folder. Exit 0 if nothing failed, else 1.
"""

import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BIN = ROOT / ".venv" / "bin"
LONGEST_STEP = 40 * 60
"""Seconds: what hangs is a failure that is told, not a build server's time running out."""
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
TIERS = {
    "check": (
        tool("ruff", "format", "--check", "--quiet", "."),
        tool("ruff", "check", "--quiet", "."),
        tool("mypy"),
        tests("unit", *MODULES, "-n", "auto", "-m", "not interop and not slow"),
    ),
    "interop": (tests("interop", *MODULES, "-m", "interop or slow"),),
    # Real servers on loopback: Ceph, OpenSSH, Azurite.
    "stores": (tests("stores", "tests/stores"),),
    "promises": (tests("promises", "tests/promises"),),
    "browser": (tests("browser", "tests/browser"),),
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
            step.command, cwd=ROOT, stdin=subprocess.DEVNULL, timeout=LONGEST_STEP
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


def main(names: list[str]) -> int:
    if unknown := [name for name in names if name not in TIERS]:
        print(f"There is no tier {unknown[0]}; there are: {', '.join(TIERS)}.", file=sys.stderr)
        return 2
    REPORT.parent.mkdir(exist_ok=True)
    total: Counter[str] = Counter()
    lines = []
    for name in names or TIERS:
        began = time.monotonic()
        counts = sum((run(step) for step in TIERS[name]), Counter[str]())
        total += counts
        told = ", ".join(f"{counts[key]} {key}" for key in ("passed", "failed", "skipped"))
        lines.append(f"{name:10} {time.monotonic() - began:6.0f} s   {told}")
    print("\n" + "\n".join(lines))
    print(f"=== {', '.join(f'{total[key]} {key}' for key in ('passed', 'failed', 'skipped'))} ===")
    return 1 if total["failed"] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
