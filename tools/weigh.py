"""Weigh two revisions against each other: lines, and what recorder and sender load to start.

    python tools/weigh.py BEFORE [AFTER]

Lines are those of the product's Python files. A program is loaded as often in one revision as in
the other, in turn; processor time and the largest memory are medians, as a ratio AFTER / BEFORE.
"""

import argparse
import io
import os
import statistics
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

PRODUCT = ("appliance", "firmware", "web_ui")
PROGRAMS = {"recorder": "firmware.__main__", "sender": "appliance.sync.__main__"}
ROOT = Path(__file__).resolve().parent.parent


def taken_out(revision: str, directory: Path) -> Path:
    """The product as it was at this revision, in a directory of its own."""
    command = ["git", "-C", str(ROOT), "archive", revision, *PRODUCT]
    archive = subprocess.run(command, check=True, capture_output=True).stdout
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        tar.extractall(directory, filter="data")
    return directory


def lines(tree: Path) -> int:
    return sum(file.read_bytes().count(b"\n") for file in tree.rglob("*.py"))


def load(tree: Path, module: str) -> tuple[float, float]:
    """Seconds of processor and largest memory in MiB of a process that loads this and ends."""
    command = [sys.executable, "-c", f"import {module}"]
    process = subprocess.Popen(command, cwd=tree, env={**os.environ, "PYTHONPATH": str(tree)})
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{module} of {tree.name} cannot be loaded")
    return used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("before", help="a revision, such as a tag")
    parser.add_argument("after", nargs="?", default="HEAD")
    parser.add_argument("--times", type=int, default=21, help="how often each is loaded")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        trees = [
            taken_out(revision, Path(place, side))
            for side, revision in (("before", asked.before), ("after", asked.after))
        ]
        many = [lines(tree) for tree in trees]
        print(f"lines: {many[0]} before, {many[1]} after, {many[1] / many[0]:.3f}")
        for name, module in PROGRAMS.items():
            for tree in trees:
                load(tree, module)  # writes what is compiled
            pairs = [[load(tree, module) for tree in trees] for _ in range(asked.times)]
            for index, what in enumerate(("processor", "memory")):
                before, after = (
                    statistics.median(pair[side][index] for pair in pairs) for side in (0, 1)
                )
                print(f"{name}, {what} to load: {after / before:.2f}")


if __name__ == "__main__":
    main()
