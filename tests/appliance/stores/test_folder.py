"""A folder as a store: whole or not at all, never over something, and never elsewhere."""

import contextlib
import io
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from appliance.errors import BadInput, SendFailed, SendRefused
from appliance.stores import open_store
from appliance.stores.folder import FolderStore
from appliance.stores.store import Put

NAME = "cases/abc/identity-0001.age"


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    folder = tmp_path / "service"
    folder.mkdir()
    return FolderStore(folder)


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Callable[..., Path]]:
    """Mounts a file system on a new folder; skips, with the reason, where that is not allowed."""
    folders: list[Path] = []

    def mount(*arguments: str) -> Path:
        folder = tmp_path / f"mounted-{len(folders)}"
        folder.mkdir()
        done = subprocess.run(
            ["mount", *arguments, str(folder)], capture_output=True, text=True, check=False
        )
        if done.returncode:
            pytest.skip(f"nothing can be mounted here: {done.stderr.strip()}")
        folders.append(folder)
        return folder

    yield mount
    for folder in folders:
        subprocess.run(["umount", str(folder)], check=True)


def put(store: FolderStore, name: str, data: bytes) -> Put:
    return store.create(name, io.BytesIO(data))


def content(store: FolderStore, name: str) -> bytes | None:
    file = store.open(name)
    if file is None:
        return None
    with file:
        return file.read()


def files(folder: Path) -> list[str]:
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if not p.is_dir())


# --- A folder -----------------------------------------------------------------------------------


def test_a_purged_key_is_overwritten_before_its_name_goes(
    store: FolderStore, tmp_path: Path
) -> None:
    put(store, NAME, b"the case's key")
    os.link(tmp_path / "service" / NAME, tmp_path / "the same blocks")
    store.purge("cases/abc/identity-")
    left = (tmp_path / "the same blocks").read_bytes()
    assert len(left) == len(b"the case's key")
    assert left != b"the case's key"


def test_a_key_that_was_only_half_sent_is_purged_too(store: FolderStore, tmp_path: Path) -> None:
    put(store, NAME, b"x")
    folder = tmp_path / "service" / "cases" / "abc"
    (folder / "identity-0001.age").rename(folder / ".identity-0001.age.0011aabb.unfinished")
    assert list(store.list("")) == []
    store.purge("cases/abc/identity-")
    assert files(tmp_path / "service") == []


def test_a_key_that_cannot_be_removed_keeps_no_other(mounted: Callable[..., Path]) -> None:
    folder = mounted("-t", "tmpfs", "-o", "size=128k", "tmpfs")
    with contextlib.closing(FolderStore(folder)) as store:
        for number in (1, 3):
            put(store, f"cases/abc/identity-000{number}.age", b"x")
        stays = folder / "cases" / "abc" / "identity-0002.age"
        stays.mkdir()
        subprocess.run(["mount", "--bind", stays, stays], check=True)
        try:
            with pytest.raises(SendFailed):
                store.purge("cases/abc/identity-")
        finally:
            subprocess.run(["umount", stays], check=True)
        assert [path.name for path in stays.parent.iterdir()] == [stays.name]
        assert store.purge("cases/abc/identity-") == ("cases/abc/identity-0002.age",)


def test_a_folder_in_place_of_a_key_is_purged_with_all_that_is_in_it(
    store: FolderStore, tmp_path: Path
) -> None:
    put(store, f"{NAME}/deep/inside", b"x")
    assert store.purge("cases/abc/identity-") == (f"{NAME}/deep/inside",)
    assert list((tmp_path / "service" / "cases" / "abc").iterdir()) == []


_ANOTHER_USER = """
import io, os, sys
from pathlib import Path
from appliance.stores.folder import FolderStore
from appliance.stores.store import read_small

os.setgroups([]), os.setgid(65534), os.setuid(65534)
store = FolderStore(Path(sys.argv[1]))
assert read_small(store, "service/card.json") == b"card"
assert read_small(store, "tombstones/abc") == b"answer"
store.create("orders/second", io.BytesIO(b"order"))
"""


@pytest.mark.skipif(os.getuid() != 0, reason="only root can be another user as well")
def test_a_folders_owner_reads_what_the_service_writes_and_writes_beside_it() -> None:
    """The service's program comes as root, and kits as a user of their own."""
    # What pytest gives is closed to other users.
    place = Path(tempfile.mkdtemp())
    try:
        place.chmod(0o755)
        (place / "service").mkdir(mode=0o755)
        os.chown(place / "service", 65534, 65534)
        umask = os.umask(0o077)
        try:
            with contextlib.closing(FolderStore(place / "service")) as store:
                put(store, "service/card.json", b"card")
                put(store, "tombstones/abc", b"answer")
                put(store, "orders/first", b"order")
        finally:
            os.umask(umask)
        command = [sys.executable, "-c", _ANOTHER_USER, str(place / "service")]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert "orders/second" in files(place / "service")
    finally:
        shutil.rmtree(place)


def test_nobody_is_let_at_what_is_written_whom_the_folder_keeps_out(tmp_path: Path) -> None:
    folder = tmp_path / "private"
    folder.mkdir()
    folder.chmod(0o700)
    with contextlib.closing(FolderStore(folder)) as store:
        put(store, NAME, b"x")
    for path in folder.rglob("*"):
        assert not path.stat().st_mode & 0o077


def test_what_a_killed_try_left_is_cleared_by_the_next(store: FolderStore, tmp_path: Path) -> None:
    folder = tmp_path / "service" / "cases" / "abc"
    folder.mkdir(parents=True)
    (folder / ".identity-0001.age.0011aabb.unfinished").write_bytes(b"half")
    (folder / ".identity-0002.age.0011aabb.unfinished").write_bytes(b"another's")
    assert put(store, NAME, b"whole") is Put.CREATED
    assert files(folder) == [".identity-0002.age.0011aabb.unfinished", "identity-0001.age"]


def test_what_killed_tries_left_is_swept_by_its_age_and_nothing_else_is(
    store: FolderStore, tmp_path: Path
) -> None:
    put(store, NAME, b"x")
    folder = tmp_path / "service" / "cases" / "abc"
    (tmp_path / "outside").mkdir()
    (tmp_path / "service" / "link").symlink_to(tmp_path / "outside")
    now = datetime.now(UTC)
    for days, path in (
        (2, folder / ".film.0011aabb.unfinished"),
        (2, tmp_path / "service" / ".x.0011aabb.unfinished"),
        (0, folder / ".film.ccdd2233.unfinished"),
        (2, folder / "an-old-object"),
        (2, tmp_path / "outside" / ".x.0011aabb.unfinished"),
    ):
        path.write_bytes(b"half")
        at = (now - timedelta(days=days)).timestamp()
        os.utime(path, (at, at))
    assert store.sweep(now - timedelta(days=1)) == 2
    assert store.sweep(now - timedelta(days=1)) == 0
    assert files(folder) == [".film.ccdd2233.unfinished", "an-old-object", "identity-0001.age"]
    assert files(tmp_path / "outside") == [".x.0011aabb.unfinished"]


def test_a_link_planted_in_the_store_leads_nowhere(store: FolderStore, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "identity-0001.age").write_bytes(b"not the store's")
    (tmp_path / "service" / "cases").mkdir()
    (tmp_path / "service" / "cases" / "abc").symlink_to(outside)
    for act in (
        lambda: put(store, "cases/abc/identity-0002.age", b"x"),
        lambda: store.open(NAME),
        lambda: store.purge("cases/abc/identity-"),
    ):
        with pytest.raises(SendRefused, match="something lies where"):
            act()
    assert files(outside) == ["identity-0001.age"]
    (tmp_path / "service" / "cases" / "abc").unlink()
    (tmp_path / "service" / "cases" / "abc").mkdir()
    (tmp_path / "service" / NAME).symlink_to(outside / "identity-0001.age")
    with pytest.raises(SendRefused):
        store.open(NAME)
    assert list(store.list("cases/")) == []
    store.purge("cases/abc/identity-")
    assert (outside / "identity-0001.age").read_bytes() == b"not the store's"
    assert not (tmp_path / "service" / NAME).is_symlink()


def test_a_pipe_in_place_of_an_object_holds_nobody_up(store: FolderStore, tmp_path: Path) -> None:
    (tmp_path / "service" / "orders").mkdir()
    os.mkfifo(tmp_path / "service" / "orders" / "x")
    with pytest.raises(SendRefused, match="no file"):
        store.open("orders/x")


def test_a_missing_folder_is_never_made(tmp_path: Path) -> None:
    with pytest.raises(SendRefused, match="is not there") as refused:
        open_store((tmp_path / "mnt" / "share").as_uri())
    assert "mount" in refused.value.hint
    assert not (tmp_path / "mnt").exists()


def test_a_share_that_goes_away_does_not_fill_the_folder_underneath(
    store: FolderStore, tmp_path: Path
) -> None:
    (tmp_path / "service").rename(tmp_path / "gone")
    (tmp_path / "service").mkdir()
    shutil.rmtree(tmp_path / "gone")
    with pytest.raises(SendRefused, match="is not there"):
        put(store, NAME, b"x")
    assert files(tmp_path / "service") == []


def test_a_full_store_is_refused_and_keeps_what_it_has(
    mounted: Callable[..., Path], tmp_path: Path
) -> None:
    folder = mounted("-t", "tmpfs", "-o", "size=128k", "tmpfs")
    with contextlib.closing(FolderStore(folder)) as store:
        put(store, "cases/a/x", b"x" * 40_000)
        with pytest.raises(SendRefused, match="is full"):
            put(store, NAME, b"y" * 400_000)
        assert files(folder) == ["cases/a/x"]
        assert put(store, NAME, b"small enough") is Put.CREATED


def test_a_read_only_store_is_refused(mounted: Callable[..., Path]) -> None:
    folder = mounted("-t", "tmpfs", "-o", "size=128k", "tmpfs")
    with contextlib.closing(FolderStore(folder)) as store:
        put(store, "cases/a/x", b"x")
        subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)
        assert content(store, "cases/a/x") == b"x"
        with pytest.raises(SendRefused, match="cannot be written"):
            put(store, NAME, b"y")


def traced(program: str, *options: str) -> subprocess.CompletedProcess[str]:
    """Run Python under strace; skips, with the reason, where that is not allowed."""
    if not shutil.which("strace"):
        pytest.skip("no strace here to watch the system calls")
    command = ["strace", "-f", "-y", *options, sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if "PTRACE" in done.stderr:
        pytest.skip(f"strace may not watch here: {done.stderr[-200:]}")
    assert done.returncode == 0, done.stderr
    return done


_PUT = """
import io
from pathlib import Path
from appliance.stores.folder import FolderStore
store = FolderStore(Path({folder!r}))
for data in {data!r}:
    print(store.create({name!r}, io.BytesIO(data)).value)
"""


def test_an_object_is_on_the_disk_before_it_has_its_name(tmp_path: Path) -> None:
    program = _PUT.format(folder=str(tmp_path), name=NAME, data=[b"x"])
    done = traced(program, "-e", "trace=fsync,linkat,unlinkat")
    calls = [line for line in done.stderr.splitlines() if str(tmp_path) in line]
    steps = [
        ("fsync(", ".unfinished>"),
        ("linkat(", "identity-0001.age"),
        ("unlinkat(", ".unfinished"),
        ("fsync(", "cases/abc>"),
        ("fsync(", "cases>"),
        ("fsync(", f"{tmp_path}>"),
    ]
    assert len(calls) == len(steps), calls
    for call, parts in zip(calls, steps, strict=True):
        assert all(part in call for part in parts), (call, parts)


def test_a_stick_that_knows_no_links_holds_the_same_promises(tmp_path: Path) -> None:
    program = _PUT.format(folder=str(tmp_path), name=NAME, data=[b"first", b"second"])
    done = traced(program, "-e", "trace=linkat", "-e", "inject=linkat:error=EPERM")
    assert done.stdout.split() == ["created", "already-there"]
    assert "EPERM" in done.stderr
    assert files(tmp_path) == [NAME]
    assert (tmp_path / NAME).read_bytes() == b"first"


# --- Addresses ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "does not know where"),
        ("https://example.invalid/films", "no place to send to"),
        ("file://host/films", "no place to send to"),
        ("file:films", "no place to send to"),
    ],
)
def test_what_is_no_place_to_send_to_is_refused_with_what_to_do(text: str, why: str) -> None:
    with pytest.raises(BadInput, match=why) as refused:
        open_store(text)
    assert "file:///" in refused.value.hint


def test_a_folder_is_found_by_url_and_by_path(tmp_path: Path) -> None:
    folder = tmp_path / "the service's 100% folder"
    folder.mkdir()
    for text in (folder.as_uri(), str(folder)):
        opened = open_store(text)
        assert opened.url == folder.as_uri()
        assert opened.create("orders/x", io.BytesIO(b"x")) in Put
