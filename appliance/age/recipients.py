"""Whom a file can be sealed to: a public key of either kind, in age's written form.

X25519 (`age1...`), which every age tool knows, and age's post-quantum hybrid `mlkem768x25519`
(`age1pq1...`), which stays closed as long as either of its halves does. Nothing here opens
anything: `appliance.age.identities` has the secret halves.
"""

import functools
from typing import ClassVar

from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from appliance.age.bech32 import from_bech32, to_bech32
from appliance.age.sealing import WRAPPED, ZERO_NONCE, Recipient, Stanza, to_base64
from appliance.errors import BadInput

_X25519_INFO = b"age-encryption.org/v1/X25519"
HYBRID_INFO = b"age-encryption.org/mlkem768x25519"
HYBRID = hpke.Suite(hpke.KEM.MLKEM768_X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.CHACHA20_POLY1305)
MLKEM_PUBLIC, MLKEM_SHARE, MLKEM_SEED = 1184, 1088, 64
X25519 = 32
"""Bytes of a public key, of what is sent with a sealed file key, and of a seed."""


class _PublicKey:
    """A public key: its bytes, and its written form."""

    prefix: ClassVar[str]

    def __init__(self, public: bytes) -> None:
        self.public = public

    def __str__(self) -> str:
        return self._text

    def __repr__(self) -> str:
        return f"<{self._text[:24]}...>"

    @functools.cached_property
    def _text(self) -> str:
        # Not before it is asked for: Bech32 in Python takes a millisecond.
        return to_bech32(self.prefix, self.public)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, type(self)) and self.public == other.public

    def __hash__(self) -> int:
        return hash(self.public)


class X25519Recipient(_PublicKey):
    """An X25519 public key, `age1...`: every age tool knows it."""

    kind, prefix = "x25519", "age"

    def __init__(self, public: bytes) -> None:
        super().__init__(public)
        self._key = X25519PublicKey.from_public_bytes(public)

    def wrap(self, file_key: bytes) -> list[Stanza]:
        ephemeral = X25519PrivateKey.generate()
        share = ephemeral.public_key().public_bytes_raw()
        try:
            shared = ephemeral.exchange(self._key)
        except ValueError as error:
            # A point of low order: anybody could open what is sealed to it.
            raise BadInput("This recipient is not a real public key.") from error
        body = x25519_cipher(shared, share, self.public).encrypt(ZERO_NONCE, file_key, None)
        return [Stanza("X25519", (to_base64(share),), body)]


class HybridRecipient(_PublicKey):
    """A post-quantum public key, `age1pq1...`: ML-KEM-768 and X25519 together."""

    kind, prefix = "hybrid", "age1pq"

    def __init__(self, public: bytes) -> None:
        super().__init__(public)
        self._key = hpke.MLKEM768X25519PublicKey(
            MLKEM768PublicKey.from_public_bytes(public[:MLKEM_PUBLIC]),
            X25519PublicKey.from_public_bytes(public[MLKEM_PUBLIC:]),
        )

    def wrap(self, file_key: bytes) -> list[Stanza]:
        sealed = HYBRID.encrypt(file_key, self._key, HYBRID_INFO)
        share, body = sealed[:-WRAPPED], sealed[-WRAPPED:]
        return [Stanza("mlkem768x25519", (to_base64(share),), body)]


@functools.lru_cache(maxsize=256)
def parse_recipient(text: str) -> Recipient:
    """Read `age1...` or `age1pq1...`. Raises BadInput. Cached, for Bech32 costs 2 ms in Python."""
    prefix, data = from_bech32(text.strip())
    try:
        if prefix == "age" and len(data) == X25519:
            return X25519Recipient(data)
        if prefix == "age1pq" and len(data) == MLKEM_PUBLIC + X25519:
            return HybridRecipient(data)
    except ValueError:
        pass
    raise BadInput(
        "This is not a recipient.",
        "A recipient begins with age1 or age1pq1: copy it whole, from the .pub file.",
    )


def x25519_cipher(shared: bytes, share: bytes, public: bytes) -> ChaCha20Poly1305:
    """What a file key is sealed with, once both sides have the shared secret."""
    key = HKDF(SHA256(), 32, salt=share + public, info=_X25519_INFO).derive(shared)
    return ChaCha20Poly1305(key)
