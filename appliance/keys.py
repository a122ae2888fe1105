"""People's keys: a card to give away, a secret half that opens and signs, and the passphrase it
lies under.

A key file is an age identity file with a C2SP signing key in a remark. `text` alone shows a secret.
What age itself knows of keys is `appliance.age.identities`, of which the names in use are here too.
"""

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from appliance.age.identities import generate_identity, parse_identity
from appliance.age.keyfile import identity_lines, load_identities
from appliance.age.recipients import parse_recipient
from appliance.age.scrypt import ScryptIdentity, ScryptRecipient, normalised
from appliance.age.sealing import VERSION_LINE, Recipient, seal
from appliance.age.unsealing import Identity, unseal
from appliance.errors import BadFile, BadInput, KitError, NotPossible
from appliance.passphrases import check_passphrase, make_passphrase, passphrase_strength
from appliance.records.files import Fact, erase, lines, new_id, save
from appliance.records.signing import Signer, Verifier

__all__ = [
    "Card",
    "Identity",
    "PrivateKeys",
    "Recipient",
    "Role",
    "ScryptIdentity",
    "ScryptRecipient",
    "change_passphrase",
    "check_passphrase",
    "generate_identity",
    "load_identities",
    "lock",
    "make_passphrase",
    "parse_identity",
    "parse_recipient",
    "passphrase_strength",
    "sealing_keys",
    "unlock",
]

Role = Literal["service", "practitioner"]


class Card(Fact, frozen=True, tag="card/v1"):
    """The public half of somebody's keys: whom to seal to, and whose signatures to believe.

    `name` is the name of the signing key, `<role>-<id>`; it says nothing of the person.
    """

    role: Role
    name: str
    recipient: str
    verifier: str

    def __post_init__(self) -> None:
        parse_recipient(self.recipient)
        if self.verifying_key().name != self.name or _role_of(self.name) != self.role:
            raise BadFile("The names on this card do not fit each other.")

    def sealing_key(self) -> Recipient:
        return parse_recipient(self.recipient)

    def verifying_key(self) -> Verifier:
        return Verifier.parse(self.verifier)


def sealing_keys(like: Recipient, *cards: Card) -> list[Recipient]:
    """Whom something is sealed to, all of them of the same kind as `like`: the service's own key,
    or a case's, which was made like it. Whatever is sealed to a person goes through here.

    A key of another kind would be the way in: where the service chose post-quantum, one X25519
    card were enough to open everything in thirty years. Raises BadInput.
    """
    keys = [card.sealing_key() for card in cards]
    for card, key in zip(cards, keys, strict=True):
        if key.kind != like.kind:
            raise BadInput(
                "The key of %(name)s is not of the type that this service chose: post-quantum and "
                "X25519 keys do not mix, for the weaker would decide.",
                "They make one that is: attune keygen --role %(role)s%(option)s",
                name=card.name,
                role=card.role,
                option=" --x25519" if like.kind == "x25519" else "",
            )
    return keys


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
            role=_role_of(name),
            name=name,
            recipient=str(self.identity.recipient),
            verifier=str(self.signer.verifier),
        )


def lock(keys: PrivateKeys, passphrase: str, work: int | None = None) -> bytes:
    """The keys under a passphrase: an age file that `age --decrypt` opens with it too.

    Takes about a second and up to 128 MiB, in a child process. Raises BadInput for a passphrase
    that is too weak.
    """
    check_passphrase(passphrase)
    return seal(keys.text().encode(), [ScryptRecipient(normalised(passphrase), work)])


def unlock(data: bytes, passphrase: str) -> PrivateKeys:
    """The keys that `lock` put under this passphrase. Raises WrongPassphrase, BadFile,
    Incomplete."""
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
            data = before.read()
            if data.startswith(VERSION_LINE):
                keys = unlock(data, old())
            else:
                keys = PrivateKeys.parse(data.decode(errors="replace"))
            save(path, lock(keys, new), stat.S_IMODE(os.fstat(before.fileno()).st_mode))
            erase(before)
    except KitError:
        raise  # Some of them are OSErrors too.
    except OSError as error:
        raise NotPossible(
            "%(path)s cannot be changed: %(why)s.", path=path, why=error.strerror
        ) from error


def _role_of(name: str) -> Role:
    prefix = name.partition("-")[0]
    if prefix == "service":
        return "service"
    if prefix == "practitioner":
        return "practitioner"
    raise BadFile("A key's name begins with service- or practitioner-.")


def _labelled(text: str) -> dict[str, str]:
    pairs = (line[1:].partition(":") for line in lines(text) if line.startswith("#"))
    return {label.strip(): value.strip() for label, found, value in pairs if found}
