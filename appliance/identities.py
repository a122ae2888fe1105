"""Whom a file can be sealed to, and what opens it again: age's three kinds of keys.

X25519 (`age1...`), which every age tool knows; age's post-quantum hybrid `mlkem768x25519`
(`age1pq1...`), which stays closed as long as either of its halves does; and a passphrase. Written
forms are age's (age-encryption.org/v1). A secret is shown by `secret_text` alone.
"""

import functools
import os
import re
import sys
import time
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256, SHAKE256, Hash
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from appliance.errors import BadFile, BadHeader, BadInput, NotPossible
from appliance.files import lines
from appliance.sealing import FILE_KEY, TAG, Recipient, Stanza, to_base64
from appliance.unsealing import Identity, from_base64, unseal

LEAST_WORK, MOST_WORK = 15, 17
"""Logarithms of scrypt's cost: 2^15 takes 32 MiB, 2^17 takes 128 MiB."""
WORK_LIMIT = 18
"""The highest that is tried when opening: 256 MiB, what `age -p` asks for."""

_X25519_INFO = b"age-encryption.org/v1/X25519"
_SCRYPT_LABEL = b"age-encryption.org/v1/scrypt"
_HYBRID_INFO = b"age-encryption.org/mlkem768x25519"
_HYBRID = hpke.Suite(hpke.KEM.MLKEM768_X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.CHACHA20_POLY1305)
_MLKEM_PUBLIC, _MLKEM_SHARE, _MLKEM_SEED = 1184, 1088, 64
_X25519 = 32
_WRAPPED = FILE_KEY + TAG
_ZERO_NONCE = bytes(12)
_SALT = 16
_ENOUGH_SECONDS = 1.0


class X25519Recipient:
    """An X25519 public key, `age1...`: every age tool knows it."""

    kind = "x25519"

    def __init__(self, public: bytes) -> None:
        self.public = public
        self._key = X25519PublicKey.from_public_bytes(public)

    def __str__(self) -> str:
        return self._text

    def __repr__(self) -> str:
        return f"<{self._text}>"

    @functools.cached_property
    def _text(self) -> str:
        return to_bech32("age", self.public)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, X25519Recipient) and self.public == other.public

    def __hash__(self) -> int:
        return hash(self.public)

    def wrap(self, file_key: bytes) -> list[Stanza]:
        ephemeral = X25519PrivateKey.generate()
        share = ephemeral.public_key().public_bytes_raw()
        try:
            shared = ephemeral.exchange(self._key)
        except (
            ValueError
        ) as error:  # A point of low order: anybody could open what is sealed to it.
            raise BadInput("This recipient is not a real public key.") from error
        body = _x25519_cipher(shared, share, self.public).encrypt(_ZERO_NONCE, file_key, None)
        return [Stanza("X25519", (to_base64(share),), body)]


class X25519Identity:
    """An X25519 secret key, `AGE-SECRET-KEY-1...`."""

    kind = "x25519"

    def __init__(self, secret: bytes) -> None:
        self._secret = secret
        self._key = X25519PrivateKey.from_private_bytes(secret)
        self.recipient = X25519Recipient(self._key.public_key().public_bytes_raw())

    def __repr__(self) -> str:
        return f"<the secret of {self.recipient}>"

    def secret_text(self) -> str:
        return to_bech32("age-secret-key-", self._secret).upper()

    def unwrap(self, stanzas: Sequence[Stanza]) -> bytes | None:
        for stanza in stanzas:
            if stanza.type != "X25519":
                continue
            (encoded,) = _arguments(stanza, 1)
            share = from_base64(encoded)
            shared = _exchanged(self._key, share)
            cipher = _x25519_cipher(shared, share, self.recipient.public)
            file_key = _decrypted(cipher, stanza.body)
            if file_key is not None:
                return file_key
        return None


class HybridRecipient:
    """A post-quantum public key, `age1pq1...`: ML-KEM-768 and X25519 together."""

    kind = "hybrid"

    def __init__(self, public: bytes) -> None:
        self.public = public
        self._key = hpke.MLKEM768X25519PublicKey(
            MLKEM768PublicKey.from_public_bytes(public[:_MLKEM_PUBLIC]),
            X25519PublicKey.from_public_bytes(public[_MLKEM_PUBLIC:]),
        )

    def __str__(self) -> str:
        return self._text

    def __repr__(self) -> str:
        return f"<{self._text[:24]}...>"

    @functools.cached_property
    def _text(self) -> str:
        # Not before it is asked for: Bech32 in Python takes a millisecond.
        return to_bech32("age1pq", self.public)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, HybridRecipient) and self.public == other.public

    def __hash__(self) -> int:
        return hash(self.public)

    def wrap(self, file_key: bytes) -> list[Stanza]:
        sealed = _HYBRID.encrypt(file_key, self._key, _HYBRID_INFO)
        share, body = sealed[:-_WRAPPED], sealed[-_WRAPPED:]
        return [Stanza("mlkem768x25519", (to_base64(share),), body)]


class HybridIdentity:
    """A post-quantum secret key, `AGE-SECRET-KEY-PQ-1...`: a seed of 32 bytes for both parts."""

    kind = "hybrid"

    def __init__(self, seed: bytes) -> None:
        self._seed = seed
        expanding = Hash(SHAKE256(_MLKEM_SEED + _X25519))
        expanding.update(seed)
        expanded = expanding.finalize()
        mlkem = MLKEM768PrivateKey.from_seed_bytes(expanded[:_MLKEM_SEED])
        self._x25519 = X25519PrivateKey.from_private_bytes(expanded[_MLKEM_SEED:])
        self._key = hpke.MLKEM768X25519PrivateKey(mlkem, self._x25519)
        self.recipient = HybridRecipient(
            mlkem.public_key().public_bytes_raw() + self._x25519.public_key().public_bytes_raw()
        )

    def __repr__(self) -> str:
        return f"<the secret of {self.recipient!r}>"

    def secret_text(self) -> str:
        return to_bech32("age-secret-key-pq-", self._seed).upper()

    def unwrap(self, stanzas: Sequence[Stanza]) -> bytes | None:
        for stanza in stanzas:
            if stanza.type != "mlkem768x25519":
                continue
            (encoded,) = _arguments(stanza, 1)
            share = from_base64(encoded)
            if len(share) != _MLKEM_SHARE + _X25519 or len(stanza.body) != _WRAPPED:
                raise _bad_stanza(stanza)
            # The suite says "wrong tag" for a share of low order too; the format wants it named.
            _exchanged(self._x25519, share[_MLKEM_SHARE:])
            try:
                return _HYBRID.decrypt(share + stanza.body, self._key, _HYBRID_INFO)
            except InvalidTag:
                continue
        return None


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
        body = ChaCha20Poly1305(key).encrypt(_ZERO_NONCE, file_key, None)
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
            encoded, cost = _arguments(stanza, 2)
            salt = from_base64(encoded)
            if (
                len(salt) != _SALT
                or not re.fullmatch(r"[1-9][0-9]?", cost)
                or len(stanza.body) != _WRAPPED
            ):
                raise _bad_stanza(stanza)
            if int(cost) > self._limit:
                raise BadHeader(
                    "Its passphrase is stretched 2^%(cost)s times, more than 2^%(most)s.",
                    "If you trust where it came from, use `age --decrypt` on a large computer.",
                    cost=cost,
                    most=self._limit,
                )
            key = _stretched(self._passphrase, salt, int(cost))
            file_key = _decrypted(ChaCha20Poly1305(key), stanza.body)
            if file_key is not None:
                return file_key
        return None


@functools.lru_cache(maxsize=256)
def parse_recipient(text: str) -> Recipient:
    """Read `age1...` or `age1pq1...`. Raises BadInput. Cached, for Bech32 costs 2 ms in Python."""
    prefix, data = from_bech32(text.strip())
    try:
        if prefix == "age" and len(data) == _X25519:
            return X25519Recipient(data)
        if prefix == "age1pq" and len(data) == _MLKEM_PUBLIC + _X25519:
            return HybridRecipient(data)
    except ValueError:
        pass
    raise BadInput(
        "This is not a recipient.",
        "A recipient begins with age1 or age1pq1: copy it whole, from the .pub file.",
    )


def parse_identity(text: str) -> Identity:
    """Read `AGE-SECRET-KEY-1...` or `AGE-SECRET-KEY-PQ-1...`. Raises BadInput, without the text."""
    prefix, data = from_bech32(text.strip())
    if len(data) == 32 and text.strip().isupper():
        if prefix == "age-secret-key-":
            return X25519Identity(data)
        if prefix == "age-secret-key-pq-":
            return HybridIdentity(data)
    raise BadInput("This is not a secret key.", "It begins with AGE-SECRET-KEY-, all in capitals.")


def generate_identity(x25519: bool = False) -> Identity:
    """A new identity: post-quantum, or X25519 where every tool must open what is sealed to it."""
    secret = os.urandom(32)
    return X25519Identity(secret) if x25519 else HybridIdentity(secret)


def load_identities(path: Path, ask: Callable[[], str] | None = None) -> list[Identity]:
    """The identities in a file: plain lines as `age-keygen` writes them, or under a passphrase.

    `ask` is called for the passphrase if the file has one. Raises BadFile, WrongPassphrase,
    NotPossible.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise NotPossible(
            "%(path)s could not be read: %(why)s.", path=path, why=error.strerror
        ) from error
    if data.startswith((b"age-encryption.org/", b"-----BEGIN AGE")):
        if ask is None:
            raise BadFile(
                "%(name)s is under a passphrase.", "Give the passphrase too.", name=path.name
            )
        data = unseal(data, [ScryptIdentity(normalised(ask()))])
    try:
        identities = [parse_identity(line) for line in identity_lines(data.decode())]
    except (UnicodeDecodeError, BadInput):
        identities = []
    if not identities:
        raise BadFile(
            "%(name)s holds no secret key that can be read.",
            "Give a file that `attune keygen` or `age-keygen` made.",
            name=path.name,
        )
    return identities


def identity_lines(text: str) -> list[str]:
    """The lines of an identity file that are neither empty nor a remark."""
    found = (line.strip() for line in lines(text))
    return [line for line in found if line and not line.startswith("#")]


def normalised(passphrase: str) -> str:
    """A passphrase with its accents composed and its spaces single: every keyboard's the same."""
    return " ".join(unicodedata.normalize("NFC", passphrase).split())


def to_bech32(prefix: str, data: bytes) -> str:
    """`data` in Bech32 (BIP 173, without its limit of 90 characters), in small letters."""
    groups = _regrouped(data, 8, 5)
    check = _polymod([*_expanded(prefix), *groups, 0, 0, 0, 0, 0, 0]) ^ 1
    groups += [check >> shift & 31 for shift in range(25, -1, -5)]
    return prefix + "1" + "".join(_BECH32[group] for group in groups)


def from_bech32(text: str) -> tuple[str, bytes]:
    """The prefix (in small letters) and the data of a Bech32 string; ("", b"") if it is not one."""
    lowered = text.lower()
    prefix, _, encoded = lowered.rpartition("1")
    if (
        text not in (lowered, text.upper())
        or not prefix
        or not prefix.isascii()
        or len(encoded) < 6
    ):
        return "", b""
    groups = [_BECH32.find(character) for character in encoded]
    if -1 in groups or _polymod([*_expanded(prefix), *groups]) != 1:
        return "", b""
    data = _regrouped(groups[:-6], 5, 8)
    # One spelling only: no spare group, and the spare bits of the last one are zero.
    if _regrouped(data, 8, 5) != groups[:-6]:
        return "", b""
    return prefix, bytes(data)


_BECH32 = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_GENERATOR = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)


def _polymod(groups: Iterable[int]) -> int:
    check = 1
    for group in groups:
        top = check >> 25
        check = (check & 0x1FFFFFF) << 5 ^ group
        for bit, value in enumerate(_GENERATOR):
            if top >> bit & 1:
                check ^= value
    return check


def _expanded(prefix: str) -> list[int]:
    return [ord(c) >> 5 for c in prefix] + [0] + [ord(c) & 31 for c in prefix]


def _regrouped(values: Iterable[int], width: int, new_width: int) -> list[int]:
    """Bits in groups of another width. To 5, zeros fill the last group; to 8, spare bits drop."""
    pool = bits = 0
    groups = []
    for value in values:
        pool = (pool << width | value) & 0xFFF
        bits += width
        while bits >= new_width:
            bits -= new_width
            groups.append(pool >> bits & ((1 << new_width) - 1))
    if bits and new_width < width:
        groups.append(pool << (new_width - bits) & ((1 << new_width) - 1))
    return groups


def _x25519_cipher(shared: bytes, share: bytes, public: bytes) -> ChaCha20Poly1305:
    key = HKDF(SHA256(), 32, salt=share + public, info=_X25519_INFO).derive(shared)
    return ChaCha20Poly1305(key)


def _arguments(stanza: Stanza, count: int) -> tuple[str, ...]:
    if len(stanza.args) != count:
        raise _bad_stanza(stanza)
    return stanza.args


def _exchanged(key: X25519PrivateKey, share: bytes) -> bytes:
    """The shared secret. Raises BadHeader for a share that is none, or of low order."""
    try:
        return key.exchange(X25519PublicKey.from_public_bytes(share))
    except ValueError as error:
        raise BadHeader(
            "The head of this sealed file is broken: it holds a false public key.",
            "Nothing of it can be opened. Fetch it again from where it came from.",
        ) from error


def _decrypted(cipher: ChaCha20Poly1305, body: bytes) -> bytes | None:
    if len(body) != _WRAPPED:
        # Before decrypting: a longer one could be made to open under two keys.
        raise BadHeader("The head of this sealed file is broken: a file key is not 16 bytes long.")
    try:
        return cipher.decrypt(_ZERO_NONCE, body, None)
    except InvalidTag:
        return None


def _bad_stanza(stanza: Stanza) -> BadHeader:
    return BadHeader(
        "The head of this sealed file is broken: its %(part)s part is not in its form.",
        "Nothing of it can be opened. Fetch it again from where it came from.",
        part=stanza.type,
    )


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
    """The highest cost from 2^15 to 2^17 that this machine bears now, and the key it gives.

    It takes at most half of `free` bytes, for a film may be running, and the next one would take
    more than about a second. 2^15 (32 MiB) is never gone below. `stretch` gives the key at a cost.
    """
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
