"""Secret keys: what opens a file that was sealed to its public half.

Both kinds of `appliance.age.recipients`; a passphrase is `appliance.age.scrypt`. A secret is shown
by `secret_text` alone.
"""

import os
from collections.abc import Sequence

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hashes import SHAKE256, Hash

from appliance.age.bech32 import from_bech32, to_bech32
from appliance.age.recipients import (
    HYBRID,
    HYBRID_INFO,
    MLKEM_SEED,
    MLKEM_SHARE,
    X25519,
    HybridRecipient,
    X25519Recipient,
    x25519_cipher,
)
from appliance.age.sealing import WRAPPED, Stanza
from appliance.age.unsealing import (
    Identity,
    bad_header,
    bad_stanza,
    file_key_in,
    from_base64,
    stanza_arguments,
)
from appliance.errors import BadInput
from appliance.records.files import lines


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
            (encoded,) = stanza_arguments(stanza, 1)
            share = from_base64(encoded)
            shared = _exchanged(self._key, share)
            cipher = x25519_cipher(shared, share, self.recipient.public)
            file_key = file_key_in(cipher, stanza.body)
            if file_key is not None:
                return file_key
        return None


class HybridIdentity:
    """A post-quantum secret key, `AGE-SECRET-KEY-PQ-1...`: a seed of 32 bytes for both parts."""

    kind = "hybrid"

    def __init__(self, seed: bytes) -> None:
        self._seed = seed
        expanding = Hash(SHAKE256(MLKEM_SEED + X25519))
        expanding.update(seed)
        expanded = expanding.finalize()
        mlkem = MLKEM768PrivateKey.from_seed_bytes(expanded[:MLKEM_SEED])
        self._x25519 = X25519PrivateKey.from_private_bytes(expanded[MLKEM_SEED:])
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
            (encoded,) = stanza_arguments(stanza, 1)
            share = from_base64(encoded)
            if len(share) != MLKEM_SHARE + X25519 or len(stanza.body) != WRAPPED:
                raise bad_stanza(stanza)
            # The suite says "wrong tag" for a share of low order too; the format wants it named.
            _exchanged(self._x25519, share[MLKEM_SHARE:])
            try:
                return HYBRID.decrypt(share + stanza.body, self._key, HYBRID_INFO)
            except InvalidTag:
                continue
        return None


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


def _exchanged(key: X25519PrivateKey, share: bytes) -> bytes:
    """The shared secret. Raises BadHeader for a share that is none, or of low order."""
    try:
        return key.exchange(X25519PublicKey.from_public_bytes(share))
    except ValueError as error:
        raise bad_header("it holds a false public key") from error


def identity_lines(text: str) -> list[str]:
    """The lines of an identity file that are neither empty nor a comment."""
    found = (line.strip() for line in lines(text))
    return [line for line in found if line and not line.startswith("#")]
