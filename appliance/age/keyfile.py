"""Identity files: a secret key on each line, in clear or under a passphrase."""

from collections.abc import Callable
from pathlib import Path

from appliance.age.identities import identity_lines, parse_identity
from appliance.age.scrypt import ScryptIdentity, normalised
from appliance.age.unsealing import Identity, unseal
from appliance.errors import BadFile, BadInput, NotPossible


def load_identities(path: Path, ask: Callable[[], str] | None = None) -> list[Identity]:
    """The identities in a file: plain lines as `age-keygen` writes them, or under a passphrase.

    `ask` is called for the passphrase, if any. Raises BadFile, WrongPassphrase, NotPossible.
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
            "%(name)s has no key file that can be read.",
            "Give a file that `attune keygen` or `age-keygen` made.",
            name=path.name,
        )
    return identities
