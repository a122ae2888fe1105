"""What is installed is exact and comes from nobody in particular; the page asks nobody else."""

import json
import re
import sys
from pathlib import Path

import pytest

from tests.support.places import ROOT
from tools.tiers import Step, in_a_row, run

LOCKS = [*sorted((ROOT / "requirements").glob("*.txt")), ROOT / "package-lock.json"]
PIN = re.compile(
    r"^([a-z0-9-]+)==(\S+)((?:.*\\\n)(?: +--hash=sha256:[0-9a-f]{64}(?: \\)?\n)+)", re.M
)


def pins(name: str) -> set[tuple[str, str, str]]:
    """Name, version and all the rest (markers, digests) of each package of a lock."""
    return set(PIN.findall((ROOT / "requirements" / name).read_text()))


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.name)
def test_a_lock_names_no_place_to_fetch_from(lock: Path) -> None:
    assert not re.findall(r"://|^-", lock.read_text(), re.M)


@pytest.mark.parametrize("lock", ["kit.txt", "test.txt", "build.txt", "rig.txt"])
def test_every_package_has_its_digests(lock: str) -> None:
    named = re.findall("^[a-z].*==", (ROOT / "requirements" / lock).read_text(), re.M)
    assert named
    assert len(pins(lock)) == len(named)


def test_what_runs_on_a_kit_is_what_was_tested() -> None:
    assert pins("kit.txt") < pins("test.txt")
    assert pins("build.txt") < pins("test.txt")


def test_the_page_as_installed_asks_no_outside_host() -> None:
    style = (ROOT / "web_ui/static/vendor/nhsuk-frontend.min.css").read_text()
    asked = re.findall(r"url\(['\"]?([^)'\"]*)", style)
    assert asked
    for address in asked:
        assert (ROOT / "web_ui/static/vendor" / address).is_file() or address.startswith("data:")
    assert "@import" not in style
    assert "@font-face" not in style


@pytest.mark.parametrize(
    ("source", "counted"),
    [
        ("", {"passed": 0, "failed": 1}),
        ("def test_a(): pass", {"passed": 1, "failed": 0}),
        (
            "def test_a(): pass\ndef test_b(): raise OSError",
            {"passed": 1, "failed": 1},
        ),
        ("import pytest\npytest.skip(allow_module_level=True)", {"passed": 0, "failed": 1}),
        ("import nothing_of_this_name", {"passed": 0, "failed": 1}),
    ],
)
def test_a_tier_that_finds_no_test_or_falls_over_has_failed(
    tmp_path: Path, source: str, counted: dict[str, int]
) -> None:
    (tmp_path / "test_it.py").write_text(source)
    report = tmp_path / "report.xml"
    alone = ("env", "PYTEST_DISABLE_PLUGIN_AUTOLOAD=1", sys.executable, "-m", "pytest")
    command = (*alone, "-q", "-c", "/dev/null", "--rootdir", str(tmp_path))
    step = Step(
        "tier", (*command, "-p", "no:cacheprovider", f"--junitxml={report}", str(tmp_path)), True
    )
    counts = run(step, report)
    assert {key: counts[key] for key in counted} == counted


def test_a_row_of_runs_goes_on_where_it_was_left_and_begins_anew_after_a_failure(
    tmp_path: Path,
) -> None:
    kept = tmp_path / "again.jsonl"
    assert in_a_row("check", kept) == []
    runs = [
        ("check", "first", 1.0, 0), ("check", "first", 2.0, 1), ("check", "first", 3.0, 0),
        ("vm", "first", 4.0, 0), ("check", "next", 5.0, 0),
    ]  # fmt: skip
    kept.write_text(
        "".join(
            json.dumps({"tier": tier, "code": code, "seconds": seconds, "failed": failed}) + "\n"
            for tier, code, seconds, failed in runs
        )
    )
    row = [(one["code"], one["seconds"]) for one in in_a_row("check", kept)]
    assert row == [("first", 3.0), ("next", 5.0)]
