"""The commands as a script meets them: what is written where, and the exit status."""

import contextlib
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import click
import pytest

from appliance.age.sealing import CHUNK, seal
from appliance.age.unsealing import unseal
from appliance.base.__main__ import base
from appliance.commands import main
from appliance.commands.main import run
from appliance.config import FAMILY, load_config
from appliance.vault.keys import PrivateKeys, lock

PASSPHRASE = "lobe kadu vano resi jutu hapo"
FILM = os.urandom(3 * CHUNK + 99)
KEYS = PrivateKeys.generate("service", x25519=True)
SEALED = seal(FILM, [KEYS.identity.recipient])


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Path]:
    """A folder with a key, a card, a film, and the same sealed; also the working directory."""
    (tmp_path / "key").write_text(KEYS.text())
    (tmp_path / "film").write_bytes(FILM)
    (tmp_path / "film.age").write_bytes(SEALED)
    (tmp_path / "cut.age").write_bytes(SEALED[:-50])
    damaged = bytearray(SEALED)
    damaged[-CHUNK] ^= 1
    (tmp_path / "damaged.age").write_bytes(damaged)
    (tmp_path / "phrase").write_text(PASSPHRASE + "\n")
    with contextlib.chdir(tmp_path):
        yield tmp_path


def attune(*arguments: str, data: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """The real program, in a process of its own."""
    command = [sys.executable, "-c", "from appliance.commands.main import main; main()", *arguments]
    return subprocess.run(command, input=data, capture_output=True, timeout=60)


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_made_keys_seal_and_open_a_stream(here: Path) -> None:
    assert run(["keygen", "--role", "service", "-o", "mine"]) == 0
    assert stat.S_IMODE((here / "mine").stat().st_mode) == 0o600
    card = json.loads((here / "mine.pub").read_text())
    assert card["role"] == "service"
    assert card["recipient"].startswith("age1pq1")
    for to in ("mine.pub", card["recipient"]):
        sealed = attune("seal", "-r", to, data=FILM)
        assert sealed.stdout.startswith(b"age-encryption.org/v1\n")
        assert attune("unseal", "-i", "mine", data=sealed.stdout).stdout == FILM


def test_keys_are_never_written_over_others(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["keygen", "-o", "mine"]) == 0
    before = (here / "mine").read_bytes()
    (here / "mine.pub").unlink()
    assert run(["keygen", "-o", "mine"]) == 1
    assert "there already" in capsys.readouterr().err
    assert (here / "mine").read_bytes() == before
    assert not (here / "mine.pub").exists()


def test_keys_under_a_passphrase_open_with_it(here: Path) -> None:
    assert run(["keygen", "--x25519", "--passphrase-file", "phrase", "-o", "mine"]) == 0
    assert b"SECRET" not in (here / "mine").read_bytes()
    assert run(["seal", "-r", "mine.pub", "-o", "sealed", "film"]) == 0
    assert run(["unseal", "-i", "mine", "--passphrase-file", "phrase", "-o", "out", "sealed"]) == 0
    assert (here / "out").read_bytes() == FILM


def test_a_passphrase_can_come_through_a_descriptor(here: Path) -> None:
    (here / "mine").write_bytes(lock(KEYS, PASSPHRASE, work=10))
    with open("phrase", "rb") as file:
        status = run(
            [
                "unseal",
                "-i",
                "mine",
                "--passphrase-fd",
                str(os.dup(file.fileno())),
                "-o",
                "out",
                "film.age",
            ]
        )
    assert status == 0
    assert (here / "out").read_bytes() == FILM


def test_a_key_file_goes_under_another_passphrase(here: Path) -> None:
    (here / "mine").write_bytes(lock(KEYS, PASSPHRASE, work=10))
    (here / "new").write_text("violin gravel ostrich tepid marzipan\n")
    change = ["passphrase", "mine", "--passphrase-file"]
    assert run([*change, "new", "--new-passphrase-file", "new"]) == 1
    assert run([*change, "phrase", "--new-passphrase-file", "new"]) == 0
    assert (
        run(["unseal", "-i", "mine", "--passphrase-file", "phrase", "-o", "out", "film.age"]) == 1
    )
    assert run(["unseal", "-i", "mine", "--passphrase-file", "new", "-o", "out", "film.age"]) == 0
    assert (here / "out").read_bytes() == FILM


def test_a_file_can_be_sealed_under_a_passphrase(here: Path) -> None:
    assert run(["seal", "--passphrase-file", "phrase", "-o", "sealed", "film"]) == 0
    assert run(["unseal", "--passphrase-file", "phrase", "-o", "out", "sealed"]) == 0
    assert (here / "out").read_bytes() == FILM


def test_an_opened_film_is_for_its_owner_alone(here: Path) -> None:
    assert run(["unseal", "-i", "key", "-o", "out", "film.age"]) == 0
    assert stat.S_IMODE((here / "out").stat().st_mode) == 0o600


def test_of_an_incomplete_file_the_authentic_bytes_are_given_and_the_status_is_3(
    here: Path,
) -> None:
    done = attune("unseal", "-i", "key", "cut.age")
    assert (done.returncode, done.stdout) == (3, FILM[: 3 * CHUNK])
    assert b"end is missing" in done.stderr


def test_an_incomplete_file_never_gets_the_final_name(here: Path) -> None:
    assert run(["unseal", "-i", "key", "-o", "out", "cut.age"]) == 3
    assert not (here / "out").exists()
    assert (here / "out.partial").read_bytes() == FILM[: 3 * CHUNK]


def test_of_a_damaged_file_the_bytes_before_the_damage_are_given_and_the_status_is_1(
    here: Path,
) -> None:
    done = attune("unseal", "-i", "key", data=(here / "damaged.age").read_bytes())
    assert (done.returncode, done.stdout) == (1, FILM[: 2 * CHUNK])
    assert run(["unseal", "-i", "key", "-o", "out", "damaged.age"]) == 1
    assert (here / "out.partial").read_bytes() == FILM[: 2 * CHUNK]
    assert not (here / "out").exists()


@pytest.mark.parametrize(
    "data",
    [b"", b"hello\n", SEALED[:100], b"-----BEGIN AGE ENC"],
    ids=["nothing", "a word", "cut off", "half a line"],
)
def test_where_the_head_fails_nothing_is_given_and_nothing_made(here: Path, data: bytes) -> None:
    before = names(here)
    done = attune("unseal", "-i", "key", "-o", "out", data=data)
    assert (done.returncode, done.stdout) == (1, b"")
    assert done.stderr.startswith(b"attune: ")
    assert names(here) == before


def test_what_stood_under_the_name_stays_when_the_new_one_fails(here: Path) -> None:
    (here / "out").write_bytes(b"the old one")
    assert run(["unseal", "-i", "key", "-o", "out", "cut.age"]) == 3
    assert (here / "out").read_bytes() == b"the old one"
    assert run(["unseal", "-i", "key", "-o", "out", "film.age"]) == 0
    assert (here / "out").read_bytes() == FILM


@pytest.mark.parametrize(
    ("status", "arguments"),
    [
        (2, ["unseal", "film.age"]),
        (2, ["seal", "film"]),
        (2, ["frobnicate"]),
        (2, ["keygen", "--role", "king"]),
        (2, ["unseal", "-p", "--passphrase-file", "phrase", "--passphrase-fd", "0", "film.age"]),
        (1, ["unseal", "-i", "nothing", "film.age"]),
        (1, ["unseal", "-i", "key", "nothing"]),
        (1, ["unseal", "-i", "film", "film.age"]),
        (1, ["unseal", "-i", ".", "film.age"]),
        (1, ["unseal", "-i", "key", "."]),
        (1, ["unseal", "--passphrase-file", "film", "film.age"]),
        (1, ["unseal", "--passphrase-fd", "99", "film.age"]),
        (1, ["seal", "-r", "age1nobody", "film"]),
        (1, ["seal", "-r", "nothing.pub", "film"]),
        (1, ["seal", "-r", "film", "film"]),
        (1, ["seal", "-r", "key.pub", "--passphrase-file", "weak", "film"]),
        (1, ["unseal", "-i", "key", "-o", "no/such/folder", "film.age"]),
        (1, ["unseal", "-i", "key", "-o", "/dev/full", "film.age"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else str(value),
)
def test_every_refusal_is_words_and_a_status_never_a_traceback(
    here: Path, status: int, arguments: Sequence[str], capfd: pytest.CaptureFixture[str]
) -> None:
    (here / "key.pub").write_text(str(KEYS.identity.recipient))
    (here / "weak").write_text("password")
    before = names(here)
    assert run(arguments) == status
    told = capfd.readouterr().err
    assert told.strip()
    assert "Traceback" not in told
    assert "A fault in Attune" not in told
    assert "SECRET-KEY" not in told
    assert names(here) == before


def test_a_key_of_the_wrong_kind_is_told_apart(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["keygen", "-o", "pq"]) == 0
    assert run(["seal", "-r", "pq.pub", "-o", "sealed", "film"]) == 0
    assert run(["unseal", "-i", "key", "-o", "out", "sealed"]) == 1
    assert "post-quantum" in capsys.readouterr().err


def test_output_goes_through_a_pipe_that_closes_early(here: Path) -> None:
    command = [sys.executable, "-c", "from appliance.commands.main import main; main()"]
    with subprocess.Popen(
        [*command, "unseal", "-i", "key", "film.age"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout and process.stderr
        process.stdout.read(10)
        process.stdout.close()
        assert b"Traceback" not in process.stderr.read()


def waits_for_input(process: int) -> bool:
    """Whether it sleeps in read(0, ...): in one that has what it reads it may only be waiting for a
    processor."""
    doing = Path(f"/proc/{process}")
    reading = (["0", "0x0"], ["63", "0x0"])  # x86-64, aarch64
    sleeps = (doing / "stat").read_text().rpartition(")")[2].split()[0] == "S"
    return sleeps and (doing / "syscall").read_text().split()[:2] in reading


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_command_leaves_nothing_behind(here: Path, number: signal.Signals) -> None:
    before = names(here)
    command = [sys.executable, "-c", "from appliance.commands.main import main; main()"]
    with subprocess.Popen(
        [*command, "unseal", "-i", "key", "-o", "out"],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdin and process.stderr
        process.stdin.write(SEALED[: 2 * CHUNK])
        process.stdin.flush()
        # Until it has begun to write and waits for more. A signal that comes between two reads is
        # only seen after the next one, in any Python program.
        while names(here) == before or not waits_for_input(process.pid):
            time.sleep(0.01)
        process.send_signal(number)
        assert process.wait(10) == 130
        assert b"Traceback" not in process.stderr.read()
    assert names(here) == before


@pytest.mark.slow
def test_a_large_stream_is_sealed_and_opened_in_little_memory(here: Path) -> None:
    # Not getrusage: that remembers what the test's own process took before it became this one.
    script = (
        "import re, sys; from appliance.commands.main import run; status = run(sys.argv[1:]);"
        "told = open('/proc/self/status').read();"
        "print(re.search(r'VmHWM:\\s+(\\d+) kB', told)[1], file=sys.stderr); sys.exit(status)"
    )
    zeros = ["head", "-c", str(256 << 20), "/dev/zero"]
    with (
        subprocess.Popen(zeros, stdout=subprocess.PIPE) as source,
        open("large.age", "wb") as sealed,
    ):
        recipient = str(PrivateKeys.parse(KEYS.text()).identity.recipient)
        sealing = subprocess.run(
            [sys.executable, "-c", script, "seal", "-r", recipient],
            stdin=source.stdout,
            stdout=sealed,
            stderr=subprocess.PIPE,
            check=True,
        )
    opening = subprocess.run(
        [sys.executable, "-c", script, "unseal", "-i", "key", "large.age"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        check=True,
    )
    for done in (sealing, opening):
        assert int(done.stderr) < 40 * 1024  # KiB


def test_what_run_seals_the_library_opens(here: Path) -> None:
    assert run(["seal", "-r", str(KEYS.identity.recipient), "-o", "sealed", "film"]) == 0
    assert unseal((here / "sealed").read_bytes(), [KEYS.identity]) == FILM


def test_a_demonstration_on_a_port_that_is_taken_says_so_before_it_begins(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        assert run(["demo", "--port", str(other.getsockname()[1])]) == 1
    assert "is taken" in capsys.readouterr().err


@pytest.mark.slow
def test_a_demonstration_shows_the_family_and_leaves_nothing() -> None:
    command = [sys.executable, "-m", "appliance", "demo", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as shown:
        assert shown.stdout is not None
        try:
            said = next(line for line in shown.stdout if "What the processes say" in line)
            settings = load_config(Path(said.split()[-1]) / "attune.toml")
        finally:
            shown.send_signal(signal.SIGINT)
            rest = shown.stdout.read()
    assert (settings.camera, settings.scene) == ("scene", FAMILY)
    assert "Everything is stopped and removed." in rest and shown.returncode == 0
    assert not Path(settings.home).exists()


def commands_with_json() -> list[str]:
    """Every command that can print an object; those of the programs too."""
    found = ["sync"]

    def look(words: str, command: click.Command) -> None:
        if isinstance(command, click.Group):
            for name, inner in command.commands.items():
                look(f"{words} {name}".strip(), inner)
        elif any("--json" in option.opts for option in command.params):
            found.append(words)

    look("", main.attune)
    look("base", base)
    return found


def error_of(done: subprocess.CompletedProcess[bytes]) -> dict[str, str]:
    """What was printed must be one object, and nothing besides; the words stand beside it."""
    told = json.loads(done.stdout)
    assert set(told) == {"error"} and set(told["error"]) == {"code", "message", "hint"}
    assert all(isinstance(value, str) for value in told["error"].values())
    assert told["error"]["message"] in done.stderr.decode()
    assert "Traceback" not in done.stderr.decode()
    return told["error"]


@pytest.mark.parametrize("words", commands_with_json())
def test_with_json_an_error_is_an_object_too(here: Path, words: str) -> None:
    done = attune(*words.split(), "--json", "--no-such-option")
    assert error_of(done)["code"] == "usage" and done.returncode == 2
    # Without it, nothing but words.
    assert attune(*words.split(), "--no-such-option").stdout == b""


@pytest.mark.parametrize(
    "command",
    [
        "doctor --config nothing.toml --json",
        "doctor --json --config film",
        "sync --config nothing.toml --once --json",
        "sync --json --once --config film",
        "base file:///nowhere -i key --once --json",
        "base . --json --once -i nothing",
    ],
)
def test_a_kit_without_settings_is_told_of_in_an_object(here: Path, command: str) -> None:
    done = attune(*command.split())
    assert error_of(done)["code"] and done.returncode != 0
    words = attune(*(word for word in command.split() if word != "--json"))
    assert words.stdout == b"" and words.returncode == done.returncode


@pytest.fixture
def read_only(tmp_path: Path) -> Iterator[Path]:
    """A stick that takes no writes: its switch is set, or its kernel found errors on it."""
    place = tmp_path / "stick"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "ro", "none", str(place)]
    if os.geteuid() or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("only root can mount a stick")
    yield place
    subprocess.run(["umount", str(place)], check=True)


@pytest.mark.parametrize(
    "words",
    [
        ("seal", "-r", str(KEYS.identity.recipient), "film", "-o"),
        ("unseal", "-i", "key", "film.age", "-o"),
        ("keygen", "-o"),
    ],
    ids=lambda words: words[0],
)
def test_of_a_stick_that_takes_no_writes_it_is_said_what_to_do(
    words: Sequence[str], here: Path, read_only: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*words, str(read_only / "out")]) == 1
    said = capsys.readouterr().err
    assert "pulled out of a computer too early" in said and "switch" in said
    assert "Traceback" not in said


def test_a_bug_is_one_line_and_a_traceback_for_an_engineer_who_asks(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    @main.attune.command("broken")
    def broken() -> None:
        raise ZeroDivisionError("a bug")

    try:
        monkeypatch.delenv("ATTUNE_TRACEBACK", raising=False)
        assert run(["broken"]) == 1
        told = capfd.readouterr().err
        assert "ZeroDivisionError: a bug" in told and "ATTUNE_TRACEBACK=1" in told
        assert "Traceback" not in told
        monkeypatch.setenv("ATTUNE_TRACEBACK", "1")
        assert run(["broken"]) == 1
        assert "Traceback (most recent call last)" in capfd.readouterr().err
    finally:
        del main.attune.commands["broken"]


STARTED_AS = """
import sys
def look(event, given):
    if event == "os.exec":
        print(*given[1], sep="\\n")
        print(*sorted(sys.modules), sep="\\n")
        sys.stdout.flush()
        import os; os._exit(0)
sys.addaudithook(look)
from appliance.commands.programs import main
main()
"""


@pytest.mark.parametrize("safely", [[], ["-P"]])
@pytest.mark.parametrize(
    ("name", "module"),
    [("recorder", "firmware"), ("web", "web_ui"), ("sync", "appliance.sync")],
)
def test_a_program_is_started_before_any_other_command_is_loaded(
    name: str, module: str, safely: list[str]
) -> None:
    words = [sys.executable, *safely, "-c", STARTED_AS, name, "--config", "there"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=True)
    said = done.stdout.splitlines()
    started = [sys.executable, *safely, "-m", module, "--config", "there"]
    assert said[: len(started)] == started
    assert not {"click", "cryptography", "msgspec", module} & set(said[len(started) :])
