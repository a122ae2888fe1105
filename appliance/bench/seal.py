"""Sealing and opening, compared with Debian's `age` and with the bare cipher.

CPU seconds are those of a whole process, its start included, from file to nowhere, so that no disk
is measured. What runs of ours runs as it is installed: with its bytecode made before.
"""

import os
import random
import secrets
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from appliance.age.identities import generate_identity
from appliance.age.sealing import CHUNK, FILE_KEY, NONCE, TAG, SealedWriter, payload_cipher, seal
from appliance.age.unsealing import SealedReader, open_header
from appliance.bench import Row, children_seconds, in_turn, median_ratio, need, row, run

SIZE = 1 << 30
SEGMENT = 16 << 20
"""30 s of film at about 4 Mbit/s: what the page reads from."""
TIMES = 7
MEMORY = 40 << 20
READS = 1000
READ = 256 << 10
WRITES = (CHUNK, 4 * CHUNK, 1 << 20)
"""Sizes of a write to the sealing loop; the slowest counts."""

_ATTUNE = "from appliance.commands.main import main; main()"
_MEMORY = """
import re, sys
from appliance.commands.main import run
status = run(sys.argv[1:])
# Not getrusage: that remembers what the process was before it became this one.
with open("/proc/self/status") as file:
    print(re.search(r"VmHWM:\\s+(\\d+) kB", file.read())[1], file=sys.stderr)
sys.exit(status)
"""


def rows() -> list[Row]:
    """Every measure of the part. Takes about a minute and 2 GiB in the temporary directory.

    Raises NotPossible without Debian's `age`.
    """
    need("age")
    with tempfile.TemporaryDirectory(prefix="attune-bench-") as folder:
        bench = _Bench(Path(folder))
        return [*bench.processes(), bench.loop(), bench.reads(), bench.size()]


class _Bench:
    def __init__(self, folder: Path) -> None:
        self._plain, self._sealed = folder / "plain", folder / "sealed"
        self._segment, self._key = folder / "segment", folder / "key"
        self._environment = {
            **os.environ,
            "PYTHONDONTWRITEBYTECODE": "",
            "PYTHONPYCACHEPREFIX": str(folder / "bytecode"),
        }
        self._x25519 = generate_identity(x25519=True)
        self._hybrid = generate_identity()
        self._key.write_text(self._x25519.secret_text() + "\n")
        with open(self._plain, "wb") as plain, open(self._sealed, "wb") as sealed:
            writer = SealedWriter(sealed, [self._x25519.recipient])
            for _ in range(SIZE >> 20):
                block = secrets.token_bytes(1 << 20)
                plain.write(block)
                writer.write(block)
            writer.close()
        film = secrets.token_bytes(SEGMENT)
        self._segment.write_bytes(seal(film, [self._x25519.recipient]))

    def processes(self) -> list[Row]:
        """CPU seconds of whole processes, and the most memory that one of ours took."""
        to, theirs = str(self._hybrid.recipient), str(self._x25519.recipient)
        seal_it = ["seal", "-r", to, self._plain]
        open_it = ["unseal", "-i", self._key, self._sealed]
        sealing = in_turn(
            lambda: self._cpu(sys.executable, "-c", _ATTUNE, *seal_it),
            lambda: self._cpu("age", "-r", theirs, self._plain),
            times=TIMES,
        )
        opening = in_turn(
            lambda: self._cpu(sys.executable, "-c", _ATTUNE, *open_it),
            lambda: self._cpu("age", "-d", "-i", self._key, self._sealed),
            times=TIMES,
        )
        peak = max(
            int(self._run(sys.executable, "-c", _MEMORY, *command)) << 10
            for command in (seal_it, open_it)
        )
        age = f"Debian's age {run('age', '--version').stdout.decode().strip()}, X25519"
        return [
            row("CPU to seal 1 GiB, post-quantum", age, median_ratio(*sealing), "<= 0.80"),
            row("CPU to open 1 GiB", age, median_ratio(*opening), "<= 0.70"),
            row("peak memory to seal or open 1 GiB", "40 MiB", peak / MEMORY, "<= 1.00"),
        ]

    def loop(self) -> Row:
        """The sealing loop, against nothing but the cipher on the same 64 KiB again and again.

        It seals into 1 MiB of memory, over and over: memory that was never touched before would
        measure the system that has to find it.
        """
        ratios = []
        data = memoryview(secrets.token_bytes(1 << 20))
        for size in WRITES:

            def sealing(size: int = size) -> float:
                writer = SealedWriter(_Memory(1 << 20), [self._x25519.recipient])
                started = time.perf_counter()
                for at in range(0, 64 << 20, size):
                    writer.write(data[at % len(data) :][:size])
                writer.close()
                return time.perf_counter() - started

            bare, ours = in_turn(_bare_sealing, sealing, times=3 * TIMES)
            ratios.append(median_ratio(bare, ours))
        return row("throughput of the sealing loop", "the bare cipher", min(ratios), ">= 0.80")

    def reads(self) -> Row:
        """Reads from anywhere in a segment that the system has in memory, against what they must
        decrypt."""
        dice = random.Random(1)  # noqa: S311 - places to read from
        with open(self._segment, "rb") as file:
            reader = SealedReader(file, [self._x25519])
            file.seek(0)
            cipher = open_header(file, [self._x25519])  # The file stands at its first chunk now.
            chunks = [file.read(CHUNK + TAG) for _ in range(5)]

            def read() -> float:
                # Never at the start of a chunk: it takes five of them.
                at = dice.randrange(SEGMENT // CHUNK - 5) * CHUNK + dice.randrange(1, CHUNK)
                started = time.perf_counter()
                reader.read_at(at, READ)
                return time.perf_counter() - started

            def bare() -> float:
                started = time.perf_counter()
                for number, chunk in enumerate(chunks):
                    cipher.decrypt((number << 8).to_bytes(12, "big"), chunk, None)
                return time.perf_counter() - started

            ours, theirs = in_turn(read, bare, times=READS)
        ratio = statistics.median(ours) / statistics.median(theirs)
        return row(
            "1,000 random reads of 256 KiB, median", "five bare chunk decryptions", ratio, "<= 1.40"
        )

    def size(self) -> Row:
        ratio = self._sealed.stat().st_size / SIZE
        return row("size of 1 GiB sealed", "the plaintext", ratio, "<= 1.0010")

    def _cpu(self, *command: object) -> float:
        """CPU seconds of a process, in it and for it in the system."""
        before = children_seconds()
        self._run(*command)
        return children_seconds() - before

    def _run(self, *command: object) -> bytes:
        """Run a process, and give back what it said on standard error."""
        return run(*command, stdout=subprocess.DEVNULL, env=self._environment).stderr


class _Memory:
    """A file that keeps what was written last."""

    def __init__(self, size: int) -> None:
        self._kept = memoryview(bytearray(size))
        self._at = 0

    def write(self, data: bytes | bytearray | memoryview, /) -> int:
        length = len(data)
        if self._at + length > len(self._kept):
            self._at = 0
        self._kept[self._at : self._at + length] = data
        self._at += length
        return length


def _bare_sealing() -> float:
    """As many bytes as the loop seals."""
    cipher = payload_cipher(bytes(FILE_KEY), bytes(NONCE))
    chunk, sealed = bytes(CHUNK), bytearray(CHUNK + TAG)
    nonces = [number.to_bytes(12, "big") for number in range((64 << 20) // CHUNK)]
    started = time.perf_counter()
    for nonce in nonces:
        cipher.encrypt_into(nonce, chunk, None, sealed)
    return time.perf_counter() - started
