"""People's keys: the secret half, which opens and signs, and the passphrase it lies under.

A key file is an age identity file with a C2SP signing key in a comment. `text` alone shows a
secret. The public half is a card (`appliance.protocol.cards`).
"""

import os
import stat
from collections.abc import Callable
from pathlib import Path

from appliance.age.identities import generate_identity, identity_lines, parse_identity
from appliance.age.scrypt import ScryptIdentity, ScryptRecipient, normalised
from appliance.age.sealing import VERSION_LINE, seal
from appliance.age.unsealing import Identity, unseal
from appliance.errors import BadFile, KitError, NotPossible
from appliance.protocol.cards import Card, CardChain, KeyCard, KeyRole, Role, role_of
from appliance.records.files import erase, lines, new_id, save
from appliance.records.signing import Signer
from appliance.vault.passphrases import check_passphrase


class HalfKeys:
    """A key of a service that is for one thing alone: it opens, or it signs orders, or cards."""

    def __init__(self, role: KeyRole, key: Identity | Signer) -> None:
        self.role = role
        self.identity = None if isinstance(key, Signer) else key
        self.signer = key if isinstance(key, Signer) else None

    @classmethod
    def generate(cls, role: KeyRole, x25519: bool = False) -> "HalfKeys":
        if role == "opening":
            return cls(role, generate_identity(x25519))
        return cls(role, Signer.generate(f"service-{new_id()}"))

    @classmethod
    def parse(cls, text: str) -> "HalfKeys":
        """Read what `text()` wrote. Raises BadFile, and never repeats a secret."""
        found = _labelled(text)
        role, secrets = found.get("role"), identity_lines(text)
        keys: HalfKeys | None = None
        if role == "opening" and len(secrets) == 1 and "signing-key" not in found:
            keys = cls("opening", parse_identity(secrets[0]))
        elif role in ("root", "signing") and not secrets and "signing-key" in found:
            keys = cls(role, Signer.parse(found["signing-key"]))  # type: ignore[arg-type]
        if keys is None:
            raise BadFile("This is not a service's key file.", "Make one with `attune keygen`.")
        if found.get("public") != keys.card().key:
            raise BadFile("This key file was altered: its public and secret halves do not fit.")
        return keys

    def text(self) -> str:
        """The secret; for key files only. One that opens is an identity file of age."""
        head = f"# role: {self.role}\n# public: {self.card().key}\n"
        if self.signer is not None:
            return f"{head}# signing-key: {self.signer.secret_text()}\n"
        assert self.identity is not None
        return f"{head}{self.identity.secret_text()}\n"

    def card(self) -> KeyCard:
        public = self.identity.recipient if self.identity else self.signer and self.signer.verifier
        return KeyCard(role=self.role, key=str(public))


class PrivateKeys:
    """The secret half: an age identity, which opens, and an Ed25519 key, which signs."""

    def __init__(self, identity: Identity, signer: Signer) -> None:
        self.identity = identity
        self.signer = signer

    @classmethod
    def generate(cls, role: Role, x25519: bool = False) -> "PrivateKeys":
        return cls(generate_identity(x25519), Signer.generate(f"{role}-{new_id()}"))

    @classmethod
    def parse(cls, text: str) -> "PrivateKeys":
        """Read what `text()` wrote. Raises BadFile, and never repeats a secret."""
        found = _labelled(text)
        lines = identity_lines(text)
        if len(lines) != 1 or "signing-key" not in found:
            raise BadFile(
                "This is not a key file of this kit: it needs one secret key and one signing key.",
                "Make one with `attune keygen`.",
            )
        keys = cls(parse_identity(lines[0]), Signer.parse(found["signing-key"]))
        card = keys.card()
        if (found.get("recipient"), found.get("verifier")) != (card.recipient, card.verifier):
            raise BadFile("This key file was altered: its public and secret halves do not fit.")
        return keys

    def text(self) -> str:
        """The secrets as an identity file that `age -i` accepts too; for key files only."""
        return (
            f"# recipient: {self.identity.recipient}\n"
            f"# verifier: {self.signer.verifier}\n"
            f"# signing-key: {self.signer.secret_text()}\n"
            f"{self.identity.secret_text()}\n"
        )

    def card(self) -> Card:
        name = self.signer.verifier.name
        return Card(
            role=role_of(name),
            name=name,
            recipient=str(self.identity.recipient),
            verifier=str(self.signer.verifier),
        )

    @property
    def identities(self) -> list[Identity]:
        """Everything here that opens."""
        return [self.identity]

    @property
    def root(self) -> Signer:
        """What signs the service's next card."""
        return self.signer

    @property
    def chain(self) -> CardChain:
        """A service whose only card is this."""
        return CardChain(self.card())


def read_keys(data: bytes, passphrase: Callable[[], str]) -> PrivateKeys | HalfKeys:
    """The keys in a file, locked or not. Raises BadFile, WrongPassphrase, Incomplete."""
    if data.startswith(VERSION_LINE):
        data = unseal(data, [ScryptIdentity(normalised(passphrase()))])
    text = data.decode(errors="replace")
    return (HalfKeys if "role" in _labelled(text) else PrivateKeys).parse(text)


def lock(keys: PrivateKeys | HalfKeys, passphrase: str, work: int | None = None) -> bytes:
    """The keys under a passphrase: an age file that `age --decrypt` opens with it too.

    Takes about a second and up to 128 MiB, in a child process. Raises BadInput for a weak one.
    """
    check_passphrase(passphrase)
    return seal(keys.text().encode(), [ScryptRecipient(normalised(passphrase), work)])


def unlock(data: bytes, passphrase: str) -> PrivateKeys:
    """The keys that `lock` put there. Raises WrongPassphrase, BadFile, Incomplete."""
    return PrivateKeys.parse(
        unseal(data, [ScryptIdentity(normalised(passphrase))]).decode(errors="replace")
    )


def change_passphrase(path: Path, old: Callable[[], str], new: str) -> None:
    """Put the keys in the file `path` under the passphrase `new`.

    `old` is asked for the passphrase they are under now, if they are under one. A pulled plug
    leaves the old file or the new one; the old one is overwritten, so that who learns the old
    passphrase later finds nothing to open with it. Raises WrongPassphrase, BadInput for a weak
    `new`, BadFile, NotPossible.
    """
    try:
        with open(path, "r+b", buffering=0) as before:
            keys = read_keys(before.read(), old)
            save(path, lock(keys, new), stat.S_IMODE(os.fstat(before.fileno()).st_mode))
            erase(before)
    except KitError:
        raise  # Some of them are OSErrors too.
    except OSError as error:
        raise NotPossible(
            "%(path)s cannot be changed: %(why)s.", path=path, why=error.strerror
        ) from error


def _labelled(text: str) -> dict[str, str]:
    pairs = (line[1:].partition(":") for line in lines(text) if line.startswith("#"))
    return {label.strip(): value.strip() for label, found, value in pairs if found}
