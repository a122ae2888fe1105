"""A case is carried to the opening key still sealed, and given out there."""

import io
import subprocess
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from appliance.age.unsealing import unseal
from appliance.base.custody.giving import OLDEST, check_carried, copy
from appliance.base.custody.stick import AskedExport, carried, check_room, nothing_half
from appliance.errors import BadInput, NotPossible
from appliance.protocol.objects import case_object
from appliance.records.files import new_id, to_json
from appliance.stores import open_store
from appliance.vault.keys import PrivateKeys
from tests.appliance.base.custody.test_carrying import safe, signed
from tests.appliance.base.keeping.test_exporting import film
from tests.support.bases import Base
from tests.support.clocks import FakeClock
from tests.support.homes import contents


@pytest.fixture
def at_base(tmp_path: Path) -> Base:
    made = Base(tmp_path)
    made.told("enrol", str(made.kit.home.kit / "kit.json"))
    (tmp_path / "stick").mkdir()
    return made


@pytest.fixture
def stick(at_base: Base) -> Path:
    return at_base.root / "stick"


@pytest.fixture
def case(at_base: Base) -> str:
    """A family whose film is at the service."""
    made = at_base.kit.case()
    film(at_base, made, "0" * 64)
    at_base.kit.sync()
    return made.id


@pytest.fixture
def reader(at_base: Base) -> PrivateKeys:
    keys = PrivateKeys.generate("practitioner")
    (at_base.root / "reader.pub").write_bytes(to_json(keys.card()))
    return keys


def give_out(
    there: Base, stick: Path, out: str = "given.age", yes: bool = True
) -> "subprocess.CompletedProcess[str]":
    into = ("-o", str(there.root / out), "--to", str(there.root / "reader.pub"))
    return there.run("answer", str(stick), *into, *(["--yes"] if yes else []))


@contextmanager
def small(stick: Path, options: str) -> Iterator[None]:
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", stick], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", stick], check=True)


def test_a_case_is_given_out_where_the_opening_key_is(
    at_base: Base, case: str, stick: Path, reader: PrivateKeys
) -> None:
    other = at_base.sent()
    there = safe(at_base)
    assert at_base.told("ask", str(stick), "--export", case)["asked"] == 1
    asked = signed(stick / "ask", AskedExport)
    # What is carried is this case and its kit's logs alone, as they lie at the store.
    lies = contents(carried(stick, asked.id))
    assert any(name.endswith("manifest") for name in lies)
    for name, data in lies.items():
        where = name.partition(f"{asked.id}/")[2] or name
        assert (at_base.store / where).read_bytes() == data
        assert where.startswith((f"cases/{case}/", f"kits/{at_base.kit.id}/"))
    secret = at_base.opened(case).identity.secret_text().encode()
    assert not any(secret in data or other.encode() in data for data in contents(stick).values())

    refused = give_out(there, stick, yes=False)
    assert refused.returncode == 130 and f"Case {case} would be opened into" in refused.stderr
    # The clip of this kit is random bytes: it is told, and keeps nothing back.
    done = give_out(there, stick)
    assert done.returncode == 3 and "Written: 1 films" in done.stderr
    sealed = (at_base.root / "given.age").read_bytes()
    with tarfile.open(fileobj=io.BytesIO(unseal(sealed, reader.identities))) as archive:
        names = archive.getnames()
    assert "read-me.txt" in names and any(name.startswith("films/") for name in names)

    told = at_base.told("ask", str(stick), "--take")
    assert (told["given"]["films"], told["withdrawn"]) == (1, False)
    assert [path.name for path in stick.iterdir()] == ["cards"]
    log = (at_base.keys / "ledger" / "log").read_text()
    assert '"exported"' in log and asked.id in log


def test_a_case_whose_family_has_withdrawn_is_not_asked_for_and_one_under_a_hold_is(
    at_base: Base, case: str, stick: Path
) -> None:
    safe(at_base)
    at_base.told("hold", case, "--until", "2099-01-01")
    at_base.told("ask", str(at_base.root / "held"), "--export", case)
    # Also where the hold keeps what is there.
    at_base.told("withdraw", case)
    done = at_base.run("ask", str(stick), "--export", case)
    assert done.returncode == 1 and "has withdrawn" in done.stderr
    done = at_base.run("ask", str(stick), "--export", new_id())
    assert done.returncode == 1 and "no such case" in done.stderr
    assert not contents(stick)


def test_that_a_family_withdrew_meanwhile_is_told_when_the_answer_comes(
    at_base: Base, case: str, stick: Path, reader: PrivateKeys
) -> None:
    there = safe(at_base)
    at_base.told("ask", str(stick), "--export", case)
    give_out(there, stick)
    at_base.told("withdraw", case)
    copies = {path: path.read_bytes() for path in (stick / "ask", stick / "answer")}
    done = at_base.run("ask", str(stick), "--take")
    assert done.returncode == 1 and "Have what was opened destroyed" in done.stderr
    assert '"exported"' in (at_base.keys / "ledger" / "log").read_text()
    for path, data in copies.items():
        path.write_bytes(data)
    again = at_base.run("ask", str(stick), "--take")
    assert again.returncode == 1 and "taken in before" in again.stderr


def test_a_film_that_was_taken_back_meanwhile_is_told_when_the_answer_comes(
    at_base: Base, case: str, stick: Path, reader: PrivateKeys
) -> None:
    there = safe(at_base)
    at_base.told("ask", str(stick), "--export", case)
    give_out(there, stick)
    (taken,) = [path.name for path in (at_base.store / "cases" / case / "recordings").iterdir()]
    at_base.told("withdraw", case, "--film", taken, "--kit", at_base.kit.id)
    told = at_base.told("ask", str(stick), "--take", status=1)
    assert (told["withdrawn"], told["taken_back"]) == (False, [taken])


def test_what_was_altered_on_the_way_is_not_opened(
    at_base: Base, case: str, stick: Path, reader: PrivateKeys
) -> None:
    there = safe(at_base)
    at_base.told("ask", str(stick), "--export", case)
    folder = carried(stick, signed(stick / "ask", AskedExport).id)
    film_of = next(folder.rglob("manifest"))
    clip = next(folder.rglob("clips/*"))
    was = {path: path.read_bytes() for path in (film_of, clip)}

    def refused() -> None:
        assert give_out(there, stick).returncode == 1
        assert not (at_base.root / "given.age").exists() and not (stick / "answer").exists()

    film_of.write_bytes(was[film_of] + b"\n")
    refused()
    film_of.write_bytes(was[film_of])
    clip.unlink()
    refused()
    clip.write_bytes(was[clip])
    # A clip is signed by nobody: one that was put beside it must not come before a court.
    beside = clip.with_name(f"{new_id()}.mp4.age")
    beside.write_bytes(was[clip])
    refused()
    beside.unlink()
    assert give_out(there, stick).returncode == 3


def test_what_was_asked_for_long_ago_is_not_opened(at_base: Base, case: str, stick: Path) -> None:
    safe(at_base)
    at_base.told("ask", str(stick), "--export", case)
    asked = signed(stick / "ask", AskedExport)
    clock = FakeClock(asked.at + OLDEST)
    assert list(check_carried(clock, stick, asked, lambda _line: None).list(""))
    late = FakeClock(asked.at + OLDEST + timedelta(seconds=1))
    with pytest.raises(BadInput, match="may have withdrawn"):
        check_carried(late, stick, asked, lambda _line: None)


def test_room_is_asked_for_before_anything_is_carried(
    at_base: Base, case: str, stick: Path
) -> None:
    safe(at_base)
    with small(stick, "size=900k"):
        done = at_base.run("ask", str(stick), "--export", case)
        assert done.returncode == 1 and "are free. Take a larger stick" in done.stderr
        assert not list(stick.iterdir())


def test_a_stick_that_is_full_in_the_midst_has_nothing_half(
    at_base: Base, case: str, stick: Path
) -> None:
    store, name = open_store(at_base.store.as_uri()), new_id()
    seen = list[str]()
    with small(stick, "size=4m,nr_inodes=12"):
        with (
            pytest.raises(NotPossible, match="not enough room"),
            nothing_half(stick, carried(stick, name).name),
        ):
            copy(store, stick, name, case, [], seen.append)
        assert seen and case_object(case, "").rstrip("/") in seen[0]
        assert not list(stick.iterdir())


def test_a_file_takes_whole_blocks_of_a_stick(tmp_path: Path) -> None:
    with small(tmp_path, "size=2m"):
        check_room(tmp_path, [4096] * 200)
        with pytest.raises(NotPossible, match="not enough room"):
            check_room(tmp_path, [1] * 257)


def test_where_a_case_goes_is_said_with_it_and_with_nothing_else(
    at_base: Base, case: str, stick: Path, reader: PrivateKeys
) -> None:
    there = safe(at_base)
    at_base.told("ask", str(stick), "--export", case)
    assert there.run("answer", str(stick), "--yes").returncode == 2
    plain = there.run("answer", str(stick), "-o", str(at_base.root / "plain"), "--yes")
    assert plain.returncode == 1 and "encrypted disk" in plain.stderr
    assert "%" not in plain.stderr, "the whole stick was read first"
    at_base.told("ask", str(at_base.root / "other"))
    assert give_out(there, at_base.root / "other").returncode == 2
    assert not (stick / "answer").exists() and not (at_base.root / "given.age").exists()


def test_a_case_that_a_killed_ask_left_goes_with_the_next_and_nothing_else_does(
    at_base: Base, case: str, stick: Path
) -> None:
    safe(at_base)
    left = carried(stick, new_id()) / "cases"
    left.mkdir(parents=True)
    (stick / "carried-home").mkdir()
    at_base.told("ask", str(stick), "--export", case)
    assert not left.exists() and (stick / "carried-home").exists()
