"""Durable writes, strict facts, and where things lie."""

import ast
import contextlib
import errno
import io
import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from appliance.errors import BadFile, HomeInUse, NotPossible
from appliance.records.files import (
    ID,
    LARGEST_FACT,
    Below,
    CaseFolder,
    Fact,
    Home,
    KeysFolder,
    PersonFolder,
    checked_id,
    destroy,
    erase,
    from_json,
    load_fact,
    new_id,
    remove_tree,
    save,
    save_fact,
    save_new,
    to_json,
)
from tests.support.places import PACKAGES, ROOT


class Cup(Fact, frozen=True, kw_only=True, tag="cup/v1"):
    size: int


class Plate(Fact, frozen=True, kw_only=True, tag="plate/v1"):
    size: int


def test_what_was_saved_is_there_and_nothing_else(tmp_path: Path) -> None:
    save(tmp_path / "a", b"one")
    save(tmp_path / "a", b"two")
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == {"a": b"two"}


def test_a_file_that_is_there_is_never_replaced_by_a_new_one(tmp_path: Path) -> None:
    save_new(tmp_path / "a", b"one")
    with pytest.raises(FileExistsError):
        save_new(tmp_path / "a", b"two")
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == {"a": b"one"}


def test_a_disk_that_says_no_leaves_the_old_file(tmp_path: Path) -> None:
    blocked = tmp_path / "directory"
    blocked.mkdir()
    (blocked / "inside").write_bytes(b"still here")
    with pytest.raises(NotPossible) as caught:
        save(blocked, b"never")
    assert os.strerror(errno.EISDIR) in str(caught.value)
    assert [p.name for p in tmp_path.iterdir()] == ["directory"]


def test_leftovers_of_a_pulled_plug_are_cleared_by_their_writer(tmp_path: Path) -> None:
    home = Home(tmp_path / "home", tmp_path / "run")
    home.prepare(home.kit)
    (home.kit / ".books.json.abcd.new").write_bytes(b"half")
    (home.kit / "books.json").write_bytes(b"whole")
    home.prepare(home.kit)
    assert [p.name for p in home.kit.iterdir()] == ["books.json"]


def test_a_file_that_a_pulled_plug_left_under_two_names_keeps_its_bytes(tmp_path: Path) -> None:
    home = Home(tmp_path / "home", tmp_path / "run")
    home.prepare(home.kit)
    save_new(home.kit / "identity-0001.age", b"the only key")
    # The cut came after it got its name, before its temporary name was gone for good.
    (home.kit / ".identity-0001.age.abcd.new").hardlink_to(home.kit / "identity-0001.age")
    home.prepare(home.kit)
    assert {p.name: p.read_bytes() for p in home.kit.iterdir()} == {
        "identity-0001.age": b"the only key"
    }


def test_a_folder_goes_although_others_remove_and_write_in_it(tmp_path: Path) -> None:
    """A withdrawal, while an import writes into its folder and then clears it away itself."""
    folder = tmp_path / "imports"
    for number in range(300):
        (folder / str(number)).mkdir(parents=True)
    writing = threading.Event()

    def write() -> None:
        writing.set()
        with contextlib.suppress(FileNotFoundError):
            for number in range(3000):
                (folder / "0" / f"segment-{number}").touch()

    with ThreadPoolExecutor() as threads:
        writer = threads.submit(write)
        writing.wait()
        for done in [threads.submit(remove_tree, folder) for _ in range(3)]:
            done.result()
        writer.result()
    assert not folder.exists()
    remove_tree(folder)


def test_a_destroyed_key_file_is_gone_for_whoever_has_it_open(tmp_path: Path) -> None:
    key = tmp_path / "identity.age"
    key.write_bytes(b"secret" * 100)
    with open(key, "rb") as reader:
        destroy(key)
        assert reader.read() == b""
    assert not key.exists()
    destroy(key)


def test_a_key_file_that_is_overwritten_is_overwritten_whole(tmp_path: Path) -> None:
    class Kept(io.FileIO):
        """Remembers what was in it when it was given up, and takes a write in small parts."""

        before = b""

        def write(self, data: object) -> int:
            return super().write(memoryview(data).cast("B")[:99])  # type: ignore[call-overload]

        def truncate(self, size: int | None = None) -> int:
            self.before = Path(self.name).read_bytes()
            return super().truncate(size)

    key = tmp_path / "identity.age"
    key.write_bytes(b"secret" * 100)
    with Kept(key, "r+") as file:
        erase(file)
        assert len(file.before) == 600
        assert b"secret" not in file.before


@pytest.mark.slow
@pytest.mark.parametrize("taken", ["destroyed", "merely removed"])
def test_a_destroyed_key_is_nowhere_on_the_card(tmp_path: Path, taken: str) -> None:
    image, mounted = tmp_path / "image", tmp_path / "mounted"
    mounted.mkdir()
    with open(image, "wb") as file:
        file.truncate(16 << 20)
    if os.geteuid() != 0 or not shutil.which("mkfs.ext4"):
        pytest.skip("only root can mount a card's image, with e2fsprogs")
    subprocess.run(["mkfs.ext4", "-q", image], check=True)
    if subprocess.run(["mount", "-o", "loop", image, mounted], capture_output=True).returncode:
        pytest.skip("this machine gives no loop device to mount a card's image with")
    try:
        save(mounted / "identity-0001.age", b"a key that opens films" * 100)
        os.sync()
        if taken == "destroyed":
            destroy(mounted / "identity-0001.age")
        else:
            (mounted / "identity-0001.age").unlink()
    finally:
        subprocess.run(["umount", mounted], check=True)
    assert (b"opens films" in image.read_bytes()) == (taken == "merely removed")


def test_a_record_with_an_unknown_field_is_refused() -> None:
    with pytest.raises(BadFile):
        from_json(b'{"attune":"cup/v1","size":1,"handle":true}', Cup)


def test_a_record_of_one_kind_is_never_taken_for_another() -> None:
    with pytest.raises(BadFile):
        from_json(to_json(Cup(size=1)), Plate)


def test_a_missing_record_is_none_and_a_broken_one_is_an_error(tmp_path: Path) -> None:
    assert load_fact(tmp_path / "cup.json", Cup) is None
    save_fact(tmp_path / "cup.json", Cup(size=3))
    assert load_fact(tmp_path / "cup.json", Cup) == Cup(size=3)
    (tmp_path / "cup.json").write_bytes(b'{"attune":"cup/v1"')
    with pytest.raises(BadFile):
        load_fact(tmp_path / "cup.json", Cup)


def test_ids_say_nothing_and_do_not_repeat() -> None:
    ids = {new_id() for _ in range(1000)}
    assert len(ids) == 1000 and all(ID.fullmatch(i) for i in ids)


@pytest.mark.parametrize(
    "name", ["", "..", "../etc", "a" * 15, "A" * 16, "a" * 15 + "/", "a" * 16 + "\n"]
)
def test_a_name_from_outside_never_becomes_a_path(name: str) -> None:
    with pytest.raises(BadFile):
        checked_id(name)


def plant_nothing_but_zeros(path: Path) -> None:
    with open(path, "wb") as file:
        file.truncate(LARGEST_FACT + 1)


def plant_a_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))


PLANTED: dict[str, Callable[[Path], object]] = {
    "a pipe": os.mkfifo,
    "a huge file": plant_nothing_but_zeros,
    "a socket": plant_a_socket,
    "a directory": Path.mkdir,
    "a link to itself": lambda path: path.symlink_to(path),
    "a link to an endless device": lambda path: path.symlink_to("/dev/zero"),
}


@pytest.mark.parametrize("what", PLANTED)
def test_whatever_is_planted_in_the_place_of_a_fact_is_refused_at_once(
    tmp_path: Path, what: str
) -> None:
    PLANTED[what](tmp_path / "cup.json")
    with pytest.raises(BadFile):
        load_fact(tmp_path / "cup.json", Cup)


def test_two_processes_of_one_name_cannot_share_a_home(tmp_path: Path) -> None:
    home = Home(tmp_path / "home", tmp_path / "run")
    other = Home(tmp_path / "home", tmp_path / "other-run")
    with home.claim("recorder"):
        with pytest.raises(HomeInUse), other.claim("recorder"):
            pass
        with other.claim("web"):
            pass
    with other.claim("recorder"):
        pass


def test_a_killed_process_leaves_the_home_free(tmp_path: Path) -> None:
    program = (
        "import os, signal, sys; from pathlib import Path\n"
        "from appliance.records.files import Home\n"
        "with Home(Path(sys.argv[1]), Path(sys.argv[2])).claim('recorder'):\n"
        "    os.kill(os.getpid(), signal.SIGKILL)"
    )
    run = [sys.executable, "-c", program, str(tmp_path / "home"), str(tmp_path / "run")]
    assert subprocess.run(run, check=False).returncode == -9
    with Home(tmp_path / "home", tmp_path / "run").claim("recorder"):
        pass


NAMES = {
    part
    for kind in (Home, CaseFolder, KeysFolder, PersonFolder)
    for below in vars(kind).values()
    if isinstance(below, Below)
    for part in below.name.split("/")
} - {"cases", "recordings", "web", "sync", "roster"}
"""Of what lies in a home, but for folders that the store, the memory or the service's keys have
too."""


def spelt_in(tree: ast.AST) -> Iterator[str]:
    """The names of a home in a path that is put together here, or of a file of it anywhere."""
    for node in ast.walk(tree):
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
            words, found = node.right, NAMES
        else:
            words, found = node, {name for name in NAMES if "." in name}
        if isinstance(words, ast.Constant) and words.value in found:
            yield str(words.value)


def test_nothing_but_the_home_spells_a_path_of_it() -> None:
    planted = ast.parse('home.kit / "kit.json", case / "withdrawal"; x = "case.json"')
    assert set(spelt_in(planted)) == {"kit.json", "withdrawal", "case.json"}
    found = {
        f"{path.relative_to(ROOT)}: {name}"
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
        if path.parts[-3:] != ("appliance", "records", "files.py")
        for name in spelt_in(ast.parse(path.read_text()))
    }
    assert not found
