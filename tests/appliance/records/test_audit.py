"""The log is a chain: nothing is taken out of it or altered unnoticed."""

from pathlib import Path

import pytest

from appliance.errors import BadFile
from appliance.records.audit import Log, check_chain, links
from appliance.records.clock import SystemClock


def filled(directory: Path) -> bytes:
    log = Log(directory, SystemClock())
    for event in ("started", "armed", "film-started", "film-ended"):
        log.write(event, case="aaaaaaaaaaaaaaaa")
    return (directory / "log").read_bytes()


def test_a_chain_holds_across_restarts(tmp_path: Path) -> None:
    filled(tmp_path)
    data = filled(tmp_path)
    assert [e.number for e in check_chain(data)] == list(range(1, 9))


def test_a_line_taken_out_or_altered_is_named(tmp_path: Path) -> None:
    lines = filled(tmp_path).splitlines(keepends=True)
    with pytest.raises(BadFile, match="line 2"):
        check_chain(b"".join([lines[0], *lines[2:]]))
    with pytest.raises(BadFile, match="line 3"):
        check_chain(b"".join([lines[0], lines[1].replace(b"armed", b"alarm"), *lines[2:]]))


def test_a_log_that_has_no_end_is_read_as_far_as_ours_could_be_and_no_further(
    tmp_path: Path,
) -> None:
    data = filled(tmp_path)
    log = tmp_path / "log"
    assert [link.end for link in links(log, most=len(data))][-1] == len(data)
    with pytest.raises(BadFile, match="from line 4 on"):
        list(links(log, most=len(data) - 1))
    with open(log, "ab") as file:
        file.truncate(1 << 40)
    with pytest.raises(BadFile, match="from line 4 on"):
        list(links(log))
    assert list(links(tmp_path / "none")) == []


def test_a_line_torn_by_the_power_is_dropped_and_the_chain_goes_on(tmp_path: Path) -> None:
    whole = filled(tmp_path)
    for cut in (1, 10, len(whole.splitlines()[-1])):
        (tmp_path / "log").write_bytes(whole[:-cut])
        Log(tmp_path, SystemClock()).write("started")
        entries = check_chain((tmp_path / "log").read_bytes())
        assert [e.event for e in entries] == ["started", "armed", "film-started", "started"]
