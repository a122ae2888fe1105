"""Reading sealed files: only what is authentic, and all of it, however the file ended.

Three ways in, one set of rules: `SealedReader` for a film that is played (seekable, any thread),
`unsealed` for a stream of any length, `unseal` for a document. None of them ever hands out a byte
that it has not authenticated. `appliance.age.sealing` describes the format.
"""

import base64
import binascii
import contextlib
import io
import threading
from collections.abc import Iterator, Sequence
from typing import NoReturn, Protocol

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from appliance.age.armor import dearmored
from appliance.age.sealing import (
    CHUNK,
    COLUMNS,
    NONCE,
    TAG,
    VERSION_LINE,
    WRAPPED,
    ZERO_NONCE,
    Recipient,
    Stanza,
    chunk_nonce,
    header_mac,
    payload_cipher,
    to_base64,
)
from appliance.errors import (
    AlteredHeader,
    BadHeader,
    BadPayload,
    Incomplete,
    NoMatch,
    WrongPassphrase,
)
from appliance.records.reading import ReadAt

HEADER_LIMIT = 1 << 20
"""The longest header that is read: room for 600 post-quantum recipients."""

_SEALED_CHUNK = CHUNK + TAG
_AT_ONCE = 4 * CHUNK
"""Bytes that a reader opens in one go: they lie in five chunks at most."""
_FETCH_AGAIN = (
    "Fetch this file again from where it came from; what stands before the damage is good."
)


class Identity(Protocol):
    """What opens files sealed to its recipient. Its `repr` never shows the secret."""

    @property
    def kind(self) -> str:
        """The kind of its recipient: 'x25519', 'hybrid' or 'scrypt'."""

    @property
    def recipient(self) -> Recipient:
        """Whom to seal to, so that this opens it."""

    def unwrap(self, stanzas: Sequence[Stanza]) -> bytes | None:
        """The file key, if one of the stanzas is for this identity. Raises BadHeader for a stanza
        of its type that breaks the format."""

    def secret_text(self) -> str:
        """The secret in its written form; for key files only."""


class SealedReader(ReadAt):
    """A sealed file as a plain one: seekable, and with `read_at` for any thread.

    `size` is the length of the plaintext that is there; `complete` says whether its end is. A file
    that was cut anywhere after its header opens, and has every whole chunk before the cut. Opening
    reads the header and the last chunk; only if that does not verify as the end, the file is gone
    through once from its start. A damaged chunk inside a complete file shows when it is read, and
    the chunks around it still open.

    `file` must be seekable, is read under a lock, and is closed with the reader. Raises BadHeader,
    NoMatch, WrongPassphrase. Armor is not read here: that is `unsealed`'s.
    """

    complete: bool

    def __init__(self, file: io.BufferedIOBase, identities: Sequence[Identity]) -> None:
        self._file = file
        file.seek(0)
        self._cipher = open_header(file, identities)
        self._decrypt_into = self._cipher.decrypt_into
        self._start = file.tell()
        self._lock = threading.Lock()
        self._measure(file.seek(0, io.SEEK_END) - self._start)
        self._last = max(0, self.size - 1) // CHUNK
        # Used again and again: to find new memory each time takes as long as a decryption.
        places = range(min(_AT_ONCE // CHUNK, self._last) + 1)
        self._sealed = memoryview(bytearray(len(places) * _SEALED_CHUNK))
        self._sealed_chunks = [self._sealed[n * _SEALED_CHUNK :][:_SEALED_CHUNK] for n in places]
        self._plain = memoryview(bytearray(len(places) * CHUNK))
        self._plain_chunks = [self._plain[n * CHUNK :][:CHUNK] for n in places]
        # `_plain` holds the chunks from number `_first` to before `_after`, authenticated.
        self._first = self._after = 0

    def read_at(self, offset: int, length: int, /) -> bytes:
        """`length` bytes from `offset`, fewer only at the end of what is authentic. Any thread.

        Raises BadPayload if a chunk in this range is damaged; then nothing of the range is given.
        """
        end = min(offset + length, self.size)
        if not 0 <= offset < end:
            return b""
        if end - offset > _AT_ONCE:
            starts = range(offset, end, _AT_ONCE)
            return b"".join([self.read_at(at, min(_AT_ONCE, end - at)) for at in starts])
        first, after = offset // CHUNK, (end - 1) // CHUNK + 1
        with self._lock:
            if first < self._first or after > self._after:
                self._open(first, after)
            start = self._first * CHUNK
            return bytes(self._plain[offset - start : end - start])

    def read(self, size: int = -1, /) -> bytes:
        """Up to `size` bytes from the position, all that is left for -1; b"" at the end.

        Stops short before a damaged chunk; the next read raises BadPayload. Then `seek` past it.
        """
        wanted = size if size >= 0 else max(0, self.size - self._position)
        try:
            return super().read(wanted)
        except BadPayload:
            data = self._before_damage(wanted)
        self._position += len(data)
        return data

    def close(self) -> None:
        self._file.close()
        super().close()

    def _before_damage(self, wanted: int) -> bytes:
        found: list[bytes] = []
        at, end = self._position, self._position + wanted
        while at < end:
            step = min(end - at, CHUNK - at % CHUNK)
            try:
                found.append(self.read_at(at, step))
            except BadPayload:
                if not found:
                    raise
                break
            at += step
        return b"".join(found)

    def _measure(self, sealed_size: int) -> None:
        last = max(0, -(-sealed_size // _SEALED_CHUNK) - 1)
        self._file.seek(self._start + last * _SEALED_CHUNK)
        sealed = _read_exactly(self._file, _SEALED_CHUNK)
        end = _unsealed_chunk(self._cipher, last, sealed, last=True)
        if end is not None and (end or last == 0):
            self.size = last * CHUNK + len(end)
            self.complete = True
            return
        # From the start, not from the end: what verifies behind a gap is no film any more.
        self.size = 0
        self.complete = False
        self._file.seek(self._start)
        try:
            for chunk in _unsealed_payload(self._file, self._cipher):
                self.size += len(chunk)
        except (BadPayload, Incomplete):
            pass  # `complete` says it.

    def _open(self, first: int, after: int) -> None:
        """Open the chunks from number `first` to before `after`. Needs the lock.

        What does not verify is left in `_plain` and never given: it is not before `_after`.
        """
        kept = 0
        if self._first <= first < self._after:
            kept, start = self._after - first, (first - self._first) * CHUNK
            self._plain[: kept * CHUNK] = self._plain[start : start + kept * CHUNK]
        self._first, self._after = first, first + kept
        # In one go, and the loop is short: what Python does here is a tenth of the time.
        self._file.seek(self._start + self._after * _SEALED_CHUNK)
        self._file.readinto(self._sealed[: (after - self._after) * _SEALED_CHUNK])
        try:
            for place in range(after - self._after):
                sealed, plain = self._sealed_chunks[place], self._plain_chunks[kept + place]
                if self._after == self._last:
                    self._open_last(sealed, plain)
                else:
                    self._decrypt_into(chunk_nonce(self._after, False), sealed, None, plain)
                self._after += 1
        except InvalidTag:
            raise _damaged(self._after) from None

    def _open_last(self, sealed: memoryview, plain: memoryview) -> None:
        size = self.size - self._last * CHUNK
        nonces = [chunk_nonce(self._last, marked) for marked in (True, False)]
        with contextlib.suppress(InvalidTag):
            self._decrypt_into(nonces[0], sealed[: size + TAG], None, plain[:size])
            return
        # In a file that was cut it has no mark.
        self._decrypt_into(nonces[1], sealed[: size + TAG], None, plain[:size])


def unseal(data: bytes, identities: Sequence[Identity]) -> bytes:
    """The whole of a complete sealed file, armored or not. Raises BadFile (as BadHeader,
    BadPayload, BadArmor), Incomplete, NoMatch, WrongPassphrase."""
    return b"".join(unsealed(io.BufferedReader(io.BytesIO(data)), identities))


def unsealed(file: io.BufferedReader, identities: Sequence[Identity]) -> Iterator[bytes]:
    """The plaintext of a sealed stream, armored or not, chunk by chunk in constant memory.

    The header is opened before this returns: BadHeader, NoMatch, WrongPassphrase, BadArmor. The
    iterator gives every authentic chunk and then, unless all was well, raises Incomplete (the end
    is missing) or BadPayload (damaged, or something stands behind the end).
    """
    # No other sealed file begins with a dash or white space.
    if file.peek(1)[:1] in (b"-", b" ", b"\t", b"\r", b"\n"):
        file = dearmored(file)
    return _unsealed_payload(file, open_header(file, identities))


def open_header(file: io.BufferedIOBase, identities: Sequence[Identity]) -> ChaCha20Poly1305:
    """Read a header and find its file key; `file` then stands at the first chunk of its payload.

    Returns the payload's cipher. Raises BadHeader, AlteredHeader, NoMatch, WrongPassphrase.
    """
    stanzas, signed, mac = _read_header(file)
    if len(stanzas) > 1 and any(stanza.type == "scrypt" for stanza in stanzas):
        raise bad_header("a passphrase must be the only way in")
    for identity in identities:
        file_key = identity.unwrap(stanzas)
        if file_key is not None:
            break
    else:
        _refuse(stanzas, identities)
    try:
        header_mac(file_key, signed).verify(mac)
    except InvalidSignature:
        raise AlteredHeader(
            "This sealed file was altered: its list of recipients is not the one it was made with.",
            "Do not use it; fetch it again from where it came from.",
        ) from None
    nonce = _read_exactly(file, NONCE)
    if len(nonce) < NONCE:
        raise bad_header("it ends before its content begins")
    return payload_cipher(file_key, nonce)


def from_base64(text: bytes | str) -> bytes:
    """Decode base64 as age writes it: no padding, one spelling only. Raises BadHeader."""
    raw = text.encode() if isinstance(text, str) else text
    try:
        data = base64.b64decode(raw + b"=" * (-len(raw) % 4), validate=True)
    except binascii.Error:
        data = b""
    if to_base64(data).encode() != raw:
        raise bad_header("a field is not in its one spelling of base64")
    return data


def _read_header(file: io.BufferedIOBase) -> tuple[list[Stanza], bytes, bytes]:
    """The stanzas, the bytes they are authenticated by, and the authentication code."""
    header = bytearray()
    if _read_line(file, header) != VERSION_LINE[:-1]:
        raise BadHeader(
            "This is not a sealed file (age, version 1).",
            "Check that it is the right file; a sealed one ends in .age.",
        )
    stanzas = []
    while not (line := _read_line(file, header)).startswith(b"---"):
        stanzas.append(_read_stanza(file, header, line))
    mac = from_base64(line[4:])
    if not line.startswith(b"--- ") or len(mac) != 32 or not stanzas:
        raise bad_header("its last line is not an authentication code")
    return stanzas, bytes(header[: -len(line) - 1]) + b"---", mac


def _read_stanza(file: io.BufferedIOBase, header: bytearray, first: bytes) -> Stanza:
    arrow, *words = first.split(b" ")
    if arrow != b"->" or not words or not all(_is_word(word) for word in words):
        raise bad_header("a line that should name a recipient does not")
    body = bytearray()
    while True:
        line = _read_line(file, header)
        body += line
        if len(line) > COLUMNS:
            raise bad_header("a line is too long")
        if len(line) < COLUMNS:
            break
    kind, *args = (word.decode() for word in words)
    return Stanza(kind, tuple(args), from_base64(bytes(body)))


def _read_line(file: io.BufferedIOBase, header: bytearray) -> bytes:
    line = file.readline(HEADER_LIMIT - len(header))
    header += line
    if not line.endswith(b"\n"):
        raise bad_header("it ends in the middle, or it is absurdly long")
    return line[:-1]


def _is_word(word: bytes) -> bool:
    return len(word) > 0 and all(33 <= character <= 126 for character in word)


def bad_header(why: str) -> BadHeader:
    """A header that breaks the format; `why` follows a colon."""
    return BadHeader(
        "The head of this sealed file is broken: %(why)s.",
        "Nothing of it can be opened. Fetch it again from where it came from.",
        why=why,
    )


def _refuse(stanzas: Sequence[Stanza], identities: Sequence[Identity]) -> NoReturn:
    """Say why none of the identities opened it."""
    types = {stanza.type for stanza in stanzas}
    kinds = {identity.kind for identity in identities}
    if types == {"scrypt"}:
        if "scrypt" in kinds:
            raise WrongPassphrase(
                "That passphrase does not open it.",
                "Check capitals, spaces and hyphens, and try again.",
            )
        raise NoMatch("This is sealed with a passphrase.", "Give the passphrase instead of a key.")
    if "mlkem768x25519" in types and "hybrid" not in kinds:
        raise NoMatch(
            "This is sealed to post-quantum keys, and none of the keys given is one.",
            "Give the key that `attune keygen` made (AGE-SECRET-KEY-PQ-1...).",
        )
    raise NoMatch(
        "None of the keys given opens this.",
        "It was sealed to somebody else: ask whom, or use the service's key.",
    )


def _unsealed_payload(file: io.BufferedIOBase, cipher: ChaCha20Poly1305) -> Iterator[bytes]:
    number = 0
    while True:
        sealed = _read_exactly(file, _SEALED_CHUNK)
        full = len(sealed) == _SEALED_CHUNK
        chunk = _unsealed_chunk(cipher, number, sealed, last=False) if full else None
        if chunk is None:
            break
        yield chunk
        number += 1
    chunk = _unsealed_chunk(cipher, number, sealed, last=True)
    if chunk is None and full:
        raise _damaged(number)
    if chunk is None:
        # A file cut by a pulled plug ends like this; so does one whose last chunk was damaged.
        raise Incomplete(
            "The end is missing: only the first %(count)s bytes are there.",
            "What was given is authentic. Fetch the file again if there is a longer copy.",
            count=f"{number * CHUNK:,}",
        )
    if not chunk and number:
        raise BadPayload(
            "This sealed file was altered: its end is not the one it was made with.", _FETCH_AGAIN
        )
    yield chunk
    if file.read(1):
        raise BadPayload("Something was added behind the end of this sealed file.", _FETCH_AGAIN)


def _unsealed_chunk(
    cipher: ChaCha20Poly1305, number: int, sealed: bytes | memoryview, last: bool
) -> bytes | None:
    # decrypt, never decrypt_into: that one leaves unauthenticated bytes behind when it raises.
    try:
        return cipher.decrypt(chunk_nonce(number, last), sealed, None)
    except InvalidTag:
        return None


def _damaged(number: int) -> BadPayload:
    return BadPayload(
        "This sealed file is damaged or was altered, %(count)s bytes in.",
        _FETCH_AGAIN,
        count=f"{number * CHUNK:,}",
    )


def _read_exactly(file: io.BufferedIOBase, length: int) -> bytes:
    """`length` bytes, fewer only at the end of the file."""
    data = file.read(length)
    if len(data) in (0, length):
        return data
    parts = [data]
    missing = length - len(data)
    while missing and (data := file.read(missing)):
        parts.append(data)
        missing -= len(data)
    return b"".join(parts)


def stanza_arguments(stanza: Stanza, count: int) -> tuple[str, ...]:
    """Raises BadHeader if there are more or fewer than `count`."""
    if len(stanza.args) != count:
        raise bad_stanza(stanza)
    return stanza.args


def file_key_in(cipher: ChaCha20Poly1305, body: bytes) -> bytes | None:
    """The file key in a stanza, None if it is for somebody else. Raises BadHeader."""
    if len(body) != WRAPPED:
        # Before decrypting: a longer one could be made to open under two keys.
        raise bad_header("a file key is not 16 bytes long")
    try:
        return cipher.decrypt(ZERO_NONCE, body, None)
    except InvalidTag:
        return None


def bad_stanza(stanza: Stanza) -> BadHeader:
    return bad_header(f"its {stanza.type} part is not in its form")
