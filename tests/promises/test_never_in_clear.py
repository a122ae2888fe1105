"""Promise 5, looked for where a film could leak: never on the card in clear, nor elsewhere."""

import contextlib
import io
import os
import random
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import av
import pytest

from appliance.film.recording import open_recording
from appliance.selftest.visit import Visit
from tests.support import films

PLACES = [Path("/tmp"), Path("/dev/shm"), Path("/run"), Path("/var/tmp")]
LENGTH = 24
_AT_ONCE = 4 << 20


def pieces(data: bytes, count: int = 100) -> list[bytes]:
    """Pieces from all over `data`, without those that could stand in any file."""
    step = max(1, len(data) // count)
    found = (data[at : at + LENGTH] for at in range(0, len(data) - LENGTH, step))
    return [piece for piece in found if len(set(piece)) > 12]


def decoded(film: bytes) -> Iterator[bytes]:
    """Pictures and sound as they are before they are encoded."""
    with av.open(io.BytesIO(film), "r") as opened:
        for number, frame in enumerate(opened.decode(video=0)):
            if number % 15 == 0:
                yield from (bytes(plane) for plane in frame.planes)
    with av.open(io.BytesIO(film), "r") as opened:
        for number, block in enumerate(opened.decode(audio=0)):
            if number % 15 == 0:
                yield from (bytes(plane) for plane in block.planes)


def places(visit: Visit, since: float) -> Iterator[Path]:
    """Every file that was written since, wherever a process may write, and every file that one of
    the kit's processes holds open, also if it has no name any more."""
    for root in (visit.kit.home.root, visit.kit.home.run, *PLACES):
        for folder, _, names in os.walk(root):
            for name in names:
                path = Path(folder, name)
                with contextlib.suppress(OSError):
                    found = path.lstat()
                    if stat.S_ISREG(found.st_mode) and found.st_mtime >= since:
                        yield path
    config = str(visit.kit.config_path).encode()
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if config in (process / "cmdline").read_bytes():
                yield from (fd for fd in (process / "fd").iterdir() if fd.is_file())


def holders(visit: Visit, since: float, canaries: list[bytes], spare: Path) -> list[str]:
    """The names of the files, but for `spare`, that have one of the canaries in them."""
    found = []
    for path in places(visit, since):
        with contextlib.suppress(OSError):
            if path.samefile(spare):
                continue
            if any(canary in data for data in read(path) for canary in canaries):
                found.append(f"{path} -> {path.resolve()}")
    return found


def read(path: Path) -> Iterator[bytes]:
    """A file, perhaps another program's and larger than the memory, in pieces that overlap."""
    before = b""
    with open(path, "rb") as file:
        while piece := file.read(_AT_ONCE):
            yield before + piece
            before = piece[-LENGTH:]


def filmed(visit: Visit, recording: str) -> bytes:
    directory = visit.kit.home.recording(recording)
    opened = open_recording(directory, visit.case.identities)
    with contextlib.closing(opened):
        return opened.film.read_at(0, opened.film.size)


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="there is no /proc here")
def test_5_no_picture_and_no_sound_is_anywhere_in_clear_while_and_after_filming(
    new_visit: Callable[..., Visit], tmp_path: Path
) -> None:
    dice = random.Random(5)
    hiss = [dice.uniform(-0.4, 0.4) for _ in range(4801)]
    film = films.film(90, noisy=True, sound=lambda n: hiss[n % len(hiss)])
    scene = tmp_path / "scene.mp4"
    scene.write_bytes(film)
    known = [piece for data in decoded(film) for piece in pieces(data, 20)]
    assert len(known) > 200
    since = time.time() - 1
    visit = new_visit(scene=str(scene), width=films.WIDTH, height=films.HEIGHT)
    visit.vouch()
    visit.arm()
    began = visit.film()
    visit.kit.recorder_shows("three seconds", lambda s: s.limit - s.remaining > 3)
    canaries = [*known, *pieces(filmed(visit, began.recording))]
    assert len(canaries) > len(known) + 50
    assert holders(visit, since, canaries, scene) == []
    visit.kit.press(0.1)
    visit.ended()
    canaries = [*known, *pieces(filmed(visit, began.recording), 200)]
    assert holders(visit, since, canaries, scene) == []
    # And it would have been seen.
    leak = Path("/dev/shm" if Path("/dev/shm").is_dir() else "/tmp", f"leak-{os.getpid()}")
    leak.write_bytes(b"..." + canaries[-1] + b"...")
    try:
        assert holders(visit, since, canaries, scene) == [f"{leak} -> {leak}"]
    finally:
        leak.unlink()
