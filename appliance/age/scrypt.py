"""A passphrase as the way in, stretched by scrypt as far as this machine can bear."""

import functools
import os
import re
import sys
import time
import unicodedata
from collections.abc import Callable, Sequence
from pathlib import Path

from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from appliance.age.sealing import WRAPPED, ZERO_NONCE, Stanza, to_base64
from appliance.age.unsealing import bad_stanza, file_key_in, from_base64, stanza_arguments
from appliance.errors import BadHeader, NotPossible

LEAST_WORK, MOST_WORK = 15, 17
"""Logarithms of scrypt's cost: 2^15 takes 32 MiB, 2^17 takes 128 MiB."""
WORK_LIMIT = 18
"""The highest that is tried when opening: 256 MiB, what `age -p` asks for."""
_SCRYPT_LABEL = b"age-encryption.org/v1/scrypt"
_SALT = 16
_ENOUGH_SECONDS = 1.0


class ScryptRecipient:
    """A passphrase as a recipient; it stands alone in its file.

    `work` is the logarithm of scrypt's cost; without one it is the highest of 2^15 to 2^17 that
    this machine does in about a second with the memory that it has free.
    """

    kind = "scrypt"

    def __init__(self, passphrase: str, work: int | None = None) -> None:
        self._passphrase = passphrase
        self._work = work

    def __str__(self) -> str:
        return "a passphrase"

    def wrap(self, file_key: bytes) -> list[Stanza]:
        salt = os.urandom(_SALT)
        if self._work is None:
            work, key = stretched_as_fits(
                functools.partial(_stretched, self._passphrase, salt), _free_memory()
            )
        else:
            work, key = self._work, _stretched(self._passphrase, salt, self._work)
        body = ChaCha20Poly1305(key).encrypt(ZERO_NONCE, file_key, None)
        return [Stanza("scrypt", (to_base64(salt), str(work)), body)]


class ScryptIdentity:
    """A passphrase that may open a file. `limit` is the highest logarithm of cost that is tried."""

    kind = "scrypt"

    def __init__(self, passphrase: str, limit: int = WORK_LIMIT) -> None:
        self._passphrase = passphrase
        self._limit = limit

    def __repr__(self) -> str:
        return "<a passphrase>"

    @property
    def recipient(self) -> ScryptRecipient:
        return ScryptRecipient(self._passphrase)

    def secret_text(self) -> str:
        return self._passphrase

    def unwrap(self, stanzas: Sequence[Stanza]) -> bytes | None:
        for stanza in stanzas:
            if stanza.type != "scrypt":
                continue
            encoded, cost = stanza_arguments(stanza, 2)
            salt = from_base64(encoded)
            if (
                len(salt) != _SALT
                or not re.fullmatch(r"[1-9][0-9]?", cost)
                or len(stanza.body) != WRAPPED
            ):
                raise bad_stanza(stanza)
            if int(cost) > self._limit:
                raise BadHeader(
                    "Its passphrase is stretched 2^%(cost)s times, more than 2^%(most)s.",
                    "If you trust where it came from, use `age --decrypt` on a large computer.",
                    cost=cost,
                    most=self._limit,
                )
            key = _stretched(self._passphrase, salt, int(cost))
            file_key = file_key_in(ChaCha20Poly1305(key), stanza.body)
            if file_key is not None:
                return file_key
        return None


def normalised(passphrase: str) -> str:
    """A passphrase with its accents composed and its spaces single: every keyboard's the same."""
    return " ".join(unicodedata.normalize("NFC", passphrase).split())


_STRETCH = """
import hashlib, sys
request = sys.stdin.buffer.read()
work, salt_size = request[0], request[1]
salt, passphrase = request[2 : 2 + salt_size], request[2 + salt_size :]
memory = 128 * 8 * (1 << work) + (1 << 20)
key = hashlib.scrypt(passphrase, salt=salt, n=1 << work, r=8, p=1, maxmem=memory, dklen=32)
sys.stdout.buffer.write(key)
"""


def _stretched(passphrase: str, salt: bytes, work: int) -> bytes:
    """scrypt in a short-lived child, so that its memory goes back and a page stays answering.

    The passphrase goes through a pipe: never an argument, the environment or a file.
    """
    full_salt = _SCRYPT_LABEL + salt
    request = bytes([work, len(full_salt)]) + full_salt + passphrase.encode()
    import subprocess  # Here alone: a command that needs no passphrase starts without it.

    # Isolated and without site packages: a start costs 20 ms, and nothing else is loaded.
    command = [sys.executable, "-I", "-S", "-c", _STRETCH]
    result = subprocess.run(
        command, input=request, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    if result.returncode or len(result.stdout) != 32:
        raise NotPossible(
            "The passphrase could not be stretched: it takes %(memory)s MiB of memory.",
            "Close what else is running, and try again.",
            memory=1 << work >> 10,
        )
    return result.stdout


def stretched_as_fits(
    stretch: Callable[[int], bytes], free: int, clock: Callable[[], float] = time.monotonic
) -> tuple[int, bytes]:
    """The highest cost from 2^15 (32 MiB) to 2^17 that takes about a second and, above the lowest,
    half of `free` bytes, for a film may be running. And the key that `stretch` gives at it."""
    most = MOST_WORK
    while most > LEAST_WORK and (1 << most) * 1024 > free // 2:
        most -= 1
    work = LEAST_WORK
    while True:
        started = clock()
        key = stretch(work)
        if work == most or 2 * (clock() - started) > _ENOUGH_SECONDS:
            return work, key
        work += 1


def _free_memory() -> int:
    """Bytes that may be had without swapping; what Linux calls MemAvailable."""
    found = re.search(
        r"^MemAvailable:\s+(\d+) kB\n", Path("/proc/meminfo").read_text(), re.MULTILINE
    )
    return int(found[1]) * 1024 if found else 0
