"""The viewer as a file: made alike by everybody, and known by its digest."""

import re
from pathlib import Path

from appliance.commands.main import run
from appliance.viewer import digest, viewer
from tests.support.places import ROOT
from tools import make_viewer

LARGEST = 200_000
"""Bytes: it goes with every copy, and by mail."""


def test_whoever_makes_the_viewer_makes_the_same_file() -> None:
    """If this fails: tools/setup test"""
    assert make_viewer.page().encode() == viewer()
    assert len(viewer()) < LARGEST


def test_the_documents_name_the_digest_of_the_viewer() -> None:
    """If this fails: attune viewer prints it; write it into docs/viewer.md"""
    assert re.findall(r"\b[0-9a-f]{64}\b", (ROOT / "docs" / "viewer.md").read_text()) == [digest()]


def test_the_viewer_is_written_where_it_is_asked_for(tmp_path: Path) -> None:
    assert run(["viewer", "--out", str(tmp_path / "viewer.html")]) == 0
    assert (tmp_path / "viewer.html").read_bytes() == viewer()


def test_the_viewer_names_nothing_outside_itself() -> None:
    """But for what stands in the licences: nothing is loaded, run or sent but what is in it."""
    text = re.sub(r"<!--.*?-->", "", viewer().decode(), flags=re.DOTALL)
    assert not re.findall(r"""(?:src|href|action)\s*=\s*["']?(?!#)[^"'\s>]*//""", text)
    policy = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', text)
    (allowed,) = policy
    assert allowed.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe" not in allowed and not re.search(r"\beval\(|new Function\(", text)
