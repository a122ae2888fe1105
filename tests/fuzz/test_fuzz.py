"""A bounded run of the fuzzer; longer ones by hand: tests/fuzz/header.py."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.places import ROOT

SECONDS = 20


@pytest.mark.slow
def test_no_bytes_that_were_tried_break_a_promise_of_the_header_parser(tmp_path: Path) -> None:
    pytest.importorskip("atheris", reason="atheris has no wheel for this machine")
    command = [sys.executable, str(ROOT / "tests" / "fuzz" / "header.py"), str(tmp_path / "corpus")]
    done = subprocess.run(
        [*command, f"-max_total_time={SECONDS}"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert not list(tmp_path.glob("crash-*"))
    runs = re.search(r"Done (\d+) runs", done.stdout + done.stderr)
    # A target that refuses at its first line would be quick, and find nothing.
    assert runs and int(runs[1]) > 1000
    assert len(list((tmp_path / "corpus").iterdir())) > 143
