"""Parts of a film over HTTP: exactly those that were asked for."""

import random
from pathlib import Path

import pytest
from flask import Flask

from tests.support.pages import WebKit
from tests.support.watching import FRAMES, numbers, place, whole
from tests.web_ui.wording.test_language import fill
from web_ui.player.ranges import AT_ONCE, LATER, PIECE, TABLES, play


def test_the_whole_film_plays(kit: WebKit) -> None:
    answer = kit.browser.get(f"{place(kit)}/video").response
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "video/mp4"
    assert answer.headers["Accept-Ranges"] == "bytes"
    assert answer.headers["Cache-Control"] == "no-store"
    assert int(answer.headers["Content-Length"]) == len(answer.data)
    assert numbers(answer.data) == list(range(FRAMES))


def test_any_part_is_that_part_of_the_whole(kit: WebKit) -> None:
    data = whole(kit)
    size = len(data)
    dice = random.Random(1)
    edges = [0, 1, size // 2, size - 2, size - 1]
    spans = [(a, b) for a in edges for b in edges if a <= b]
    spans += [tuple(sorted((dice.randrange(size), dice.randrange(size)))) for _n in range(40)]
    for first, last in spans:
        answer = kit.browser.get(f"{place(kit)}/video", Range=f"bytes={first}-{last}").response
        assert answer.status_code == 206
        assert answer.headers["Content-Range"] == f"bytes {first}-{last}/{size}"
        assert int(answer.headers["Content-Length"]) == last - first + 1
        assert answer.data == data[first : last + 1]


@pytest.mark.parametrize(
    ("asked", "first", "last"),
    [
        ("bytes=0-", 0, -1),
        ("bytes=100-", 100, -1),
        ("bytes=-100", -100, -1),
        ("bytes=-99999999999", 0, -1),
        ("bytes=0-99999999999", 0, -1),
        ("bytes=0-0", 0, 0),
    ],
)
def test_open_ended_ranges(kit: WebKit, asked: str, first: int, last: int) -> None:
    data = whole(kit)
    size = len(data)
    answer = kit.browser.get(f"{place(kit)}/video", Range=asked).response
    start, end = first % size, last % size
    assert answer.status_code == 206
    assert answer.headers["Content-Range"] == f"bytes {start}-{end}/{size}"
    assert answer.data == data[start : end + 1]


def test_every_address_that_plays_answers_as_an_iphone_asks(tmp_path: Path) -> None:
    """Its player asks for two bytes first, and plays nothing from who sends anything else."""
    with WebKit(tmp_path / "kit") as kit:
        _case, pages = fill(kit, None)
        answers = {path: kit.browser.get(path).response for path in pages}
        playing = [path for path, got in answers.items() if got.mimetype.startswith("video/")]
        assert len(playing) == 2, "a film's and a clip's"
        for path in playing:
            data = answers[path].data
            size = len(data)
            for asked, first, last in (("0-1", 0, 1), (f"0-{size - 1}", 0, size - 1)):
                got = kit.browser.get(path, Range=f"bytes={asked}").response
                assert got.status_code == 206
                assert got.headers["Content-Range"] == f"bytes {first}-{last}/{size}"
                assert got.headers["Content-Length"] == str(last - first + 1)
                assert got.headers["Accept-Ranges"] == "bytes"
                assert got.data == data[first : last + 1]
            for asked in (f"{size}-", f"{size}-{size + 1}", "-0"):
                got = kit.browser.get(path, Range=f"bytes={asked}").response
                assert got.status_code == 416
                assert got.headers["Content-Range"] == f"bytes */{size}"
                assert not got.data


class Still:
    """Something long that plays."""

    size, etag = 2 * TABLES, "still"

    def read_at(self, offset: int, length: int, /) -> bytes:
        return bytes(length)

    def close(self) -> None: ...


@pytest.mark.parametrize(("first", "at_once"), [(0, TABLES), (TABLES, AT_ONCE)])
def test_a_player_that_reads_far_ahead_leaves_the_kit_time_for_others(
    first: int, at_once: int
) -> None:
    rests: list[float] = []
    with Flask(__name__).test_request_context(headers={"Range": f"bytes={first}-"}):
        answer = play(Still, rests.append)
        sent = b"".join(answer.response)
    assert len(sent) == Still.size - first
    assert rests == [LATER] * ((len(sent) - at_once) // PIECE)


@pytest.mark.parametrize("asked", ["bytes=SIZE-", "bytes=99999999999-", "bytes=-0"])
def test_a_range_past_the_end_is_refused_with_the_size(kit: WebKit, asked: str) -> None:
    size = len(whole(kit))
    asked = asked.replace("SIZE", str(size))
    answer = kit.browser.get(f"{place(kit)}/video", Range=asked).response
    assert answer.status_code == 416
    assert answer.headers["Content-Range"] == f"bytes */{size}"


@pytest.mark.parametrize(
    "asked",
    [
        *("", "bytes", "bytes=", "bytes=-", "bytes=a-b", "bytes=5-2", "lines=0-5", "bytes=--5"),
        *("bytes=0-1,5-6", "bytes=1-2-3", f"bytes=-{10**40}", f"bytes={10**40}-", "bytes=٣-٤"),
    ],
)
def test_what_is_not_one_good_range_gets_the_whole_film(kit: WebKit, asked: str) -> None:
    answer = kit.browser.get(f"{place(kit)}/video", Range=asked.encode().decode("latin-1"))
    assert answer.status == 200
    assert answer.response.data == whole(kit)


def test_a_part_is_only_sent_if_the_film_is_still_the_one_it_began_with(kit: WebKit) -> None:
    etag = kit.browser.head(f"{place(kit)}/video").response.headers["ETag"]
    url = f"{place(kit)}/video"
    assert kit.browser.get(url, Range="bytes=0-9", If_Range=etag).status == 206
    assert kit.browser.get(url, Range="bytes=0-9", If_Range='"another"').status == 200


def test_only_the_size_can_be_asked_for(kit: WebKit) -> None:
    answer = kit.browser.head(f"{place(kit)}/video", Range="bytes=0-9").response
    assert answer.status_code == 200
    assert int(answer.headers["Content-Length"]) == len(whole(kit))
    assert answer.data == b""
