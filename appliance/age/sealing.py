"""Writing sealed files: the age format, version 1 (age-encryption.org/v1).

A sealed file is a header, which holds a file key wrapped once for each recipient, and a payload:
the plaintext in chunks of 64 KiB, each encrypted under the file key with its own number and with
a mark on the last. What is on the disk is whole chunks, so a pulled plug costs the open chunk and
nothing before it. `appliance.age.unsealing` reads these files, and so does every other age tool.
"""

import base64
import io
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from appliance.errors import BadInput

CHUNK = 65536
"""Plaintext bytes in a full chunk."""
TAG = 16
"""Bytes that sealing adds to each chunk."""
FILE_KEY = 16
NONCE = 16
WRAPPED = FILE_KEY + TAG
"""Bytes of a file key, sealed to one recipient."""
ZERO_NONCE = bytes(12)
"""For a key that seals this once and never again."""
VERSION_LINE = b"age-encryption.org/v1\n"
COLUMNS = 64

Bytes = bytes | bytearray | memoryview


@dataclass(frozen=True)
class Stanza:
    """One way to the file key, as it stands in a header: for one recipient, or for a passphrase."""

    type: str
    args: tuple[str, ...]
    body: bytes = field(repr=False)


class Recipient(Protocol):
    """Whom a file is sealed to: a public key, or a passphrase. `str()` is a key's written form."""

    @property
    def kind(self) -> str:
        """'x25519', 'hybrid' or 'scrypt'; one file never mixes them."""

    def wrap(self, file_key: bytes) -> list[Stanza]:
        """The stanzas that let this recipient, and nobody else, have the 16-byte file key."""


class Output(Protocol):
    """Where sealed bytes go: a file, or anything that is written to like one."""

    def write(self, data: Bytes, /) -> int: ...


class SealedWriter:
    """Seals what is written to it into `file`, chunk by chunk, in constant memory.

    The header is written at once. Each chunk goes into `file` in one piece when it is known not
    to be the last one: when a byte beyond it comes, or by `flush_full`. `close` writes the last
    chunk with its mark. A writer that is left without `close` has written a valid beginning, of
    which a reader says "incomplete".

    No two chunks that leave this writer have the same number, and after `file` has refused a write
    it refuses too: the same number with other bytes would open both. One thread at a time. `file`
    is not closed or flushed here. Raises BadInput for no recipients or kinds that may not meet in
    one file; whatever `file.write` raises passes through.
    """

    def __init__(self, file: Output, recipients: Sequence[Recipient]) -> None:
        check_mix(recipients)
        file_key = os.urandom(FILE_KEY)
        nonce = os.urandom(NONCE)
        stanzas = [stanza for recipient in recipients for stanza in recipient.wrap(file_key)]
        self._file = file
        self._aead = payload_cipher(file_key, nonce)
        self._plain = memoryview(bytearray(CHUNK))
        self._filled = 0
        self._sealed = memoryview(bytearray(CHUNK + TAG))
        # A full chunk is sealed where it lies, without a copy, and held back until more comes.
        self._held = False
        self._count = 0
        self._closed = False
        self._broken = False
        self._put(format_header(stanzas, file_key) + nonce)

    @property
    def pending(self) -> int:
        """Plaintext bytes (0 to 65536) not in `file` yet: what a power cut would cost."""
        return CHUNK if self._held else self._filled

    @property
    def room(self) -> int:
        """Bytes that still fit into the open chunk."""
        return CHUNK - self.pending

    def write(self, data: Bytes) -> int:
        """Take all of `data`; sealed chunks go into `file` as they fill. Returns its length."""
        self._check_open()
        rest = memoryview(data).cast("B")
        length = len(rest)
        while rest:
            self._put_held()
            if not self._filled and len(rest) >= CHUNK:
                self._hold(rest[:CHUNK])
                rest = rest[CHUNK:]
                continue
            taken = min(CHUNK - self._filled, len(rest))
            self._plain[self._filled : self._filled + taken] = rest[:taken]
            self._filled += taken
            rest = rest[taken:]
            if self._filled == CHUNK:
                self._hold(self._plain)
                self._filled = 0
        return length

    def flush_full(self) -> None:
        """Put the open chunk into `file` now. It must be full, and more must follow before `close`.

        For a writer that fills its chunks up on purpose, such as a film with its `free` boxes. A
        chunk that is not full is refused (BadInput), for its number could not be used again.
        """
        self._check_open()
        if not self._held:
            raise BadInput(
                "Only a full chunk can be flushed; this one has room for %(room)s bytes.",
                room=self.room,
            )
        self._put_held()

    def close(self) -> None:
        """Write the last chunk with its mark: from now on the file is complete. Safe to call twice.

        Raises BadInput, and leaves the file incomplete, if nothing was written after `flush_full`:
        the format allows an empty last chunk in an empty file only.
        """
        if self._closed:
            return
        self._check_open()
        if self._held:
            # Nothing followed, so it was the last: the same bytes again, under the nonce with the
            # mark. What it was sealed to without one never left this writer.
            self._count -= 1
            self._aead.decrypt_into(
                chunk_nonce(self._count, False), self._sealed, None, self._plain
            )
            self._held = False
            self._filled = CHUNK
        elif self._count and not self._filled:
            raise BadInput(
                "At least one byte must be written after the last full chunk was flushed."
            )
        sealed = self._sealed[: self._filled + TAG]
        nonce = chunk_nonce(self._count, True)
        self._aead.encrypt_into(nonce, self._plain[: self._filled], None, sealed)
        self._filled = 0
        self._put(sealed)
        self._closed = True

    def _check_open(self) -> None:
        if self._broken:
            raise BadInput("The disk refused a part of this sealed file; it must stay as it is.")
        if self._closed:
            raise BadInput("This sealed file was closed; nothing can be added to it.")

    def _hold(self, chunk: memoryview) -> None:
        self._aead.encrypt_into(chunk_nonce(self._count, False), chunk, None, self._sealed)
        self._count += 1
        self._held = True

    def _put_held(self) -> None:
        if self._held:
            self._put(self._sealed)
            self._held = False

    def _put(self, data: Bytes) -> None:
        try:
            # An unbuffered file may take a part only.
            taken = self._file.write(data)
            while taken < len(data):
                taken += self._file.write(data[taken:])
        except BaseException:
            self._broken = True
            raise


def seal(data: Bytes, recipients: Sequence[Recipient]) -> bytes:
    """`data` as a complete sealed file, for what fits in memory. Raises as SealedWriter."""
    file = io.BytesIO()
    writer = SealedWriter(file, recipients)
    writer.write(data)
    writer.close()
    return file.getvalue()


def check_mix(recipients: Sequence[Recipient]) -> None:
    """Raise BadInput unless these recipients may share a file.

    A passphrase stands alone (the format's rule), and a post-quantum file has no recipient that is
    not post-quantum, for that one would be the way in.
    """
    kinds = {recipient.kind for recipient in recipients}
    if not kinds:
        raise BadInput("A file must be sealed to somebody.", "Give at least one recipient.")
    if "scrypt" in kinds and len(recipients) > 1:
        raise BadInput(
            "A file sealed with a passphrase can have no other way in.",
            "Give one passphrase, or recipients, not both.",
        )
    if len(kinds) > 1:
        raise BadInput(
            "Post-quantum and X25519 recipients cannot share a file: the weaker would decide.",
            "Make the missing key of the same type: `attune keygen`, or `attune keygen --x25519`.",
        )


def format_header(stanzas: Iterable[Stanza], file_key: bytes) -> bytes:
    """The header, from the version line to the authentication line with its newline."""
    lines = [VERSION_LINE]
    for stanza in stanzas:
        lines.append(" ".join(("->", stanza.type, *stanza.args)).encode() + b"\n")
        body = to_base64(stanza.body).encode()
        # The last line is always a short one, even if that makes it an empty one.
        lines += [body[at : at + COLUMNS] + b"\n" for at in range(0, len(body) + 1, COLUMNS)]
    header = b"".join(lines) + b"---"
    return header + b" " + to_base64(header_mac(file_key, header).finalize()).encode() + b"\n"


def header_mac(file_key: bytes, header: bytes) -> HMAC:
    """What makes or verifies the authentication code of a header up to and including its `---`."""
    mac = HMAC(HKDF(SHA256(), 32, salt=None, info=b"header").derive(file_key), SHA256())
    mac.update(header)
    return mac


def payload_cipher(file_key: bytes, nonce: bytes) -> ChaCha20Poly1305:
    """The cipher of a payload whose 16-byte nonce stands in front of it."""
    return ChaCha20Poly1305(HKDF(SHA256(), 32, salt=nonce, info=b"payload").derive(file_key))


def chunk_nonce(number: int, last: bool) -> bytes:
    """The nonce of one chunk: its number, and whether it is the last."""
    return (number << 8 | last).to_bytes(12, "big")


def to_base64(data: bytes) -> str:
    """Base64 as age writes it: standard alphabet, no padding."""
    return base64.b64encode(data).rstrip(b"=").decode()
