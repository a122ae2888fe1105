"""Space for a whole film, held before it begins; where root allows, on a card that is full."""

import errno
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from firmware.free_space import FreeSpace

BIT_RATE = 8_000_000
BYTES_A_SECOND = 1_300_000
"""On the card: a little more than the bit rate."""
MiB = 1 << 20
END = 1 << 16
"""Bytes for a film's end."""


def on_the_card(path: Path) -> int:
    return path.stat().st_blocks * 512


def test_what_is_held_is_on_the_card_and_gives_way_as_the_film_grows(tmp_path: Path) -> None:
    path = tmp_path / "room"
    space = FreeSpace(path, BIT_RATE)
    assert space.reserve(100)
    assert on_the_card(path) == pytest.approx(100 * BYTES_A_SECOND + END, abs=1 << 16)
    for taken in range(0, 130 * MiB, 300_000):
        space.taken(taken)
        held = path.stat().st_size
        # Always a little ahead of the film, and never by much.
        assert held + taken <= max(100 * BYTES_A_SECOND, taken) + END
        assert held + taken >= 100 * BYTES_A_SECOND - 17 * MiB or held == END
    space.release()
    assert not path.exists()


def test_what_is_held_still_counts_as_room_for_the_film(tmp_path: Path) -> None:
    space = FreeSpace(tmp_path / "room", BIT_RATE)
    before = space.seconds()
    assert space.reserve(200)
    # Others write here, too.
    assert space.seconds() == pytest.approx(before, abs=100)


def test_what_an_earlier_end_left_held_is_free_again(tmp_path: Path) -> None:
    FreeSpace(tmp_path / "room", BIT_RATE).reserve(10)
    FreeSpace(tmp_path / "room", BIT_RATE)
    assert not (tmp_path / "room").exists()


def test_a_second_film_takes_the_place_of_the_first(tmp_path: Path) -> None:
    space = FreeSpace(tmp_path / "room", BIT_RATE)
    assert space.reserve(50) and space.reserve(20)
    assert (tmp_path / "room").stat().st_size == 20 * BYTES_A_SECOND + END


@pytest.mark.parametrize("bit_rate", [100_000, BIT_RATE])
@pytest.mark.parametrize("seconds", [1, 5, 20, 300])
def test_however_short_the_film_and_large_what_came_of_it_its_end_has_room(
    tmp_path: Path, seconds: int, bit_rate: int
) -> None:
    path = tmp_path / "room"
    space = FreeSpace(path, bit_rate)
    assert space.reserve(seconds)
    share = path.stat().st_size - END
    for taken in (0, share // 3, share // 2, share, share + 1, 10**9):
        space.taken(taken)
        assert on_the_card(path) >= END, f"{taken} bytes of film"


@pytest.fixture
def card(tmp_path: Path) -> Iterator[Path]:
    """A card of 200 MiB."""
    folder = tmp_path / "card"
    folder.mkdir()
    mounted = shutil.which("mount") and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=200m", "none", folder], capture_output=True
    )
    if not mounted or mounted.returncode:
        pytest.skip("nobody may mount a file system here")
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_a_card_without_room_for_the_whole_film_holds_nothing(card: Path) -> None:
    space = FreeSpace(card / "room", BIT_RATE)
    (card / "other").write_bytes(bytes(50 * MiB))
    fits = int(space.seconds())
    assert fits == (200 - 50 - 64) * MiB // BYTES_A_SECOND
    assert not space.reserve(fits + 2)
    assert not (card / "room").exists()
    assert space.reserve(fits - 1)


def test_what_others_write_meanwhile_does_not_take_the_films_room(card: Path) -> None:
    space = FreeSpace(card / "room", BIT_RATE)
    seconds = 60
    assert space.reserve(seconds)
    with suppress(OSError), open(card / "other", "wb", buffering=0) as other:
        while other.write(bytes(MiB)):
            pass
    # What is given back ahead of the film is anyone's: the margin is there for that.
    os.truncate(card / "other", (card / "other").stat().st_size - 16 * MiB)
    with open(card / "film", "wb", buffering=0) as film:
        for _ in range(seconds):
            assert film.write(bytes(BYTES_A_SECOND)) == BYTES_A_SECOND
            space.taken(film.tell())


def test_a_short_film_on_a_card_that_others_filled_meanwhile_has_room_for_its_end(
    card: Path,
) -> None:
    space = FreeSpace(card / "room", BIT_RATE)
    assert space.reserve(3)
    space.taken(1)
    with pytest.raises(OSError) as full, open(card / "other", "wb", buffering=0) as other:
        while True:
            other.write(bytes(MiB))
    assert full.value.errno == errno.ENOSPC
    space.release()
    (card / "end").write_bytes(bytes(END))


def test_a_card_that_is_read_only_is_not_taken_for_full(card: Path) -> None:
    space = FreeSpace(card / "room", BIT_RATE)
    subprocess.run(["mount", "-o", "remount,ro", card], check=True)
    with pytest.raises(OSError) as error:
        space.reserve(1)
    assert os.strerror(error.value.errno or 0) == "Read-only file system"
