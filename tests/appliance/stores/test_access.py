"""The access file: closed to others, strict, and never repeated in words."""

import stat
import subprocess
import sys
from pathlib import Path

import pytest

from appliance.bench.certificates import Authority
from appliance.errors import BadFile, BadInput
from appliance.stores import open_store
from appliance.stores.access import Access, load_access

SECRET = "not-to-be-seen-anywhere"
PIN = Authority().pem


def write(path: Path, text: str, mode: int = 0o600) -> Path:
    path.touch(mode=mode)
    path.chmod(mode)
    path.write_text(text)
    return path


def test_it_is_read_from_its_file(tmp_path: Path) -> None:
    path = write(tmp_path / "access", f'pin = "x"\nsecret_access_key = "{SECRET}"\n')
    assert load_access(path) == Access(pin="x", secret_access_key=SECRET)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_a_file_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    path = write(tmp_path / "access", f'pin = "{SECRET}"\n', mode)
    with pytest.raises(BadInput, match="read by others") as refused:
        load_access(path)
    assert "chmod 600" in refused.value.hint
    assert stat.S_IMODE(path.stat().st_mode) == mode


@pytest.mark.parametrize(
    "text",
    [
        "",
        f'pin = "x"\n{SECRET} = 1\n',
        f'pin = "x"\nsecret_access_key = {SECRET}\n',
        f'pin = 7\nsecret_access_key = "{SECRET}"\n',
        f'pin = "x"\npin = "{SECRET}"\n',
    ],
)
def test_what_is_wrong_with_it_is_told_without_repeating_it(tmp_path: Path, text: str) -> None:
    with pytest.raises(BadFile) as refused:
        load_access(write(tmp_path / "access", text))
    assert SECRET not in str(refused.value)


def test_nothing_shows_what_it_holds() -> None:
    access = Access(pin="x", secret_access_key=SECRET, sas_token=SECRET, private_key=SECRET)
    assert SECRET not in f"{access} {access!r} {[access]}"


def test_systemd_hands_it_over(tmp_path: Path) -> None:
    write(tmp_path / "attune-store", 'pin = "x"\n', 0o440)
    program = "from appliance.stores.access import load_access; print(load_access(None).pin)"
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={"CREDENTIALS_DIRECTORY": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "x\n", done.stderr


def test_where_there_is_none_a_store_that_needs_it_says_so(tmp_path: Path) -> None:
    for store in ("s3://films", "az://films?account=x", "sftp://kit@host.example/films"):
        with pytest.raises(BadInput, match="not known") as refused:
            open_store(store)
        assert "access" in refused.value.hint


@pytest.mark.parametrize(
    ("store", "why"),
    [
        ("s3://films", "at which host"),
        ("s3://films?endpoint=http://localhost", "https://"),
        ("s3://films?endpoint=https://me:secret@localhost", "https://"),
        ("s3://films?endpoint=https://localhost&secret=x", "nobody knows what secret means"),
        ("s3://me@films?endpoint=https://localhost", "no place to send to"),
        ("az://films", "in which account"),
        ("sftp://host.example/films", "no place to send to"),
        ("sftp://kit:secret@host.example/films", "no place to send to"),
    ],
)
def test_an_address_that_is_wrong_is_told_before_anybody_is_asked(store: str, why: str) -> None:
    access = Access(pin=PIN, access_key_id="a", secret_access_key=SECRET, sas_token=SECRET)
    with pytest.raises(BadInput, match=why) as refused:
        open_store(store, access)
    assert SECRET not in str(refused.value)


def test_a_pin_that_is_no_certificate_is_refused() -> None:
    access = Access(pin=SECRET, access_key_id="a", secret_access_key=SECRET)
    with pytest.raises(BadFile, match="no certificate"):
        open_store("s3://films?endpoint=https://localhost", access)
