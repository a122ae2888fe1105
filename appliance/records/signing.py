"""Signed notes: text that a few lines of anyone's code can check.

The form is C2SP's signed-note (c2sp.org/signed-note) with Ed25519: the text, an empty line, then
`\N{EM DASH} name base64(key hash || signature)`. Keys are written as that specification writes
them: `name+hash+base64(0x01 || public key)`, and the secret one as Go's
`PRIVATE+KEY+name+hash+base64(0x01 || seed)`.
"""

import base64
import binascii
import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeVar

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from appliance.errors import BadFile, BadSignature
from appliance.records.files import Fact, from_json, to_json

_ED25519 = b"\x01"
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f]")
_DASH = "\N{EM DASH} "
_F = TypeVar("_F", bound=Fact)


def _key_hash(name: str, public: bytes) -> bytes:
    return hashlib.sha256(name.encode() + b"\n" + _ED25519 + public).digest()[:4]


def _checked_name(name: str) -> str:
    # Names of people's keys become names of files, too: what cannot be printed is in none, and a
    # slash would lead elsewhere.
    if not name or set(name) & set("+/") or not name.isprintable() or any(map(str.isspace, name)):
        raise BadFile("A signing key's name has no spaces, no plus sign and no slash.")
    return name


@dataclass(frozen=True)
class Verifier:
    """A public key with its name. `str()` is its C2SP text."""

    name: str
    public: bytes

    @classmethod
    def parse(cls, text: str) -> "Verifier":
        """Read `name+hash+key`. Raises BadFile."""
        parts = text.strip().split("+", 2)
        key = _decode(parts[2]) if len(parts) == 3 else b""
        if len(key) != 33 or key[:1] != _ED25519:
            raise BadFile("This is not a verifying key (name+hash+key, Ed25519).")
        verifier = cls(_checked_name(parts[0]), key[1:])
        if parts[1] != verifier.hash.hex():
            raise BadFile("This verifying key was altered: its hash does not fit.")
        return verifier

    @property
    def hash(self) -> bytes:
        return _key_hash(self.name, self.public)

    def __str__(self) -> str:
        key = base64.b64encode(_ED25519 + self.public).decode()
        return f"{self.name}+{self.hash.hex()}+{key}"

    def check(self, message: bytes, signature: bytes) -> bool:
        """True if this key signed `message`."""
        try:
            Ed25519PublicKey.from_public_bytes(self.public).verify(signature, message)
        except InvalidSignature:
            return False
        return True


class Signer:
    """A secret signing key with its name. It has no `repr` that shows it."""

    def __init__(self, name: str, key: Ed25519PrivateKey) -> None:
        self._key = key
        self.verifier = Verifier(_checked_name(name), key.public_key().public_bytes_raw())

    @classmethod
    def generate(cls, name: str) -> "Signer":
        return cls(name, Ed25519PrivateKey.generate())

    @classmethod
    def parse(cls, text: str) -> "Signer":
        """Read `PRIVATE+KEY+name+hash+seed`. Raises BadFile, and never repeats the text."""
        parts = text.strip().split("+", 4)
        seed = _decode(parts[4]) if len(parts) == 5 else b""
        if parts[:2] != ["PRIVATE", "KEY"] or len(seed) != 33 or seed[:1] != _ED25519:
            raise BadFile("This is not a signing key.")
        signer = cls(parts[2], Ed25519PrivateKey.from_private_bytes(seed[1:]))
        if parts[3] != signer.verifier.hash.hex():
            raise BadFile("This signing key was altered: its hash does not fit.")
        return signer

    def secret_text(self) -> str:
        """The secret in its written form; for key files only."""
        seed = base64.b64encode(_ED25519 + self._key.private_bytes_raw()).decode()
        return f"PRIVATE+KEY+{self.verifier.name}+{self.verifier.hash.hex()}+{seed}"

    def sign(self, text: str) -> str:
        """`text` (ending in a newline) as a signed note."""
        if not text.endswith("\n"):
            raise BadFile("The text of a note ends with a newline.")
        blob = self.verifier.hash + self._key.sign(text.encode())
        return f"{text}\n{_DASH}{self.verifier.name} {base64.b64encode(blob).decode()}\n"


def sign_fact(signer: Signer, fact: Fact) -> str:
    """A fact as a signed note: its line of JSON, and who says so."""
    return signer.sign(f"{to_json(fact).decode()}\n")


def open_fact(
    note: str | bytes, verifiers: Iterable[Verifier], kind: type[_F] | msgspec.json.Decoder[_F]
) -> tuple[_F, Verifier]:
    """The fact in a note and who signed it. Raises as `open_note` and `from_json` do."""
    text, signed_by = open_note(note, verifiers)
    return from_json(text, kind), signed_by


def fact_in(note: str | bytes, kind: type[_F] | msgspec.json.Decoder[_F]) -> _F:
    """The fact in a note, no signature of it checked. Raises BadFile."""
    return from_json(split_note(note)[0], kind)


def split_note(note: str | bytes) -> tuple[str, list[tuple[str, bytes, bytes]]]:
    """A note's text and its signatures as (name, key hash, signature), none of them checked. Raises
    BadFile if it is not in the form of a note."""
    try:
        note = note if isinstance(note, str) else note.decode()
    except UnicodeDecodeError as error:
        raise BadFile("This is not a signed note.") from error
    text, found, block = note.rpartition("\n\n")
    lines = block.split("\n")
    if not found or lines.pop() != "" or not lines or _CONTROL.search(note):
        raise BadFile("This is not a signed note.")
    signatures = []
    for line in lines:
        name, _, encoded = line.removeprefix(_DASH).partition(" ")
        blob = _decode(encoded)
        if not line.startswith(_DASH) or not name or len(blob) < 5:
            raise BadFile("This note has a broken signature line.")
        signatures.append((name, blob[:4], blob[4:]))
    return text + "\n", signatures


def open_note(note: str | bytes, verifiers: Iterable[Verifier]) -> tuple[str, Verifier]:
    """The text of a note and the first of `verifiers` that signed it.

    Raises BadFile if it is no note, BadSignature if none of them signed it or if a signature under
    one of their names and hashes is false.
    """
    text, signatures = split_note(note)
    known = {(v.name, v.hash): v for v in verifiers}
    signed_by = None
    for name, key_hash, signature in signatures:
        verifier = known.get((name, key_hash))
        if verifier is None:
            continue
        if not verifier.check(text.encode(), signature):
            raise BadSignature("This note was altered after it was signed.")
        signed_by = signed_by or verifier
    if signed_by is None:
        raise BadSignature("This note is not signed by a key that is enrolled here.")
    return text, signed_by


def _decode(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return b""
