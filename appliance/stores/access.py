"""How to get into a store, and how to know that it is the right one: the access file.

A small TOML file that the service makes for each kit. It holds a secret, so it lies in a file that
only its owner can read, or is a systemd credential; it is never an argument and never in a log.
"""

import os
import stat
from pathlib import Path

import msgspec

from appliance.errors import BadFile, BadInput

CREDENTIAL = "attune-store"
"""The name under which systemd hands the access file over."""


class Access(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Each engine needs the pin and its own credential; its `repr` shows none of it."""

    pin: str
    """s3, az: the certificate of the one authority that may vouch for the store, or the store's
    own self-signed one, as PEM. sftp: its host key, a line such as `ssh-ed25519 AAAA...`."""
    access_key_id: str = ""
    secret_access_key: str = ""
    """s3."""
    sas_token: str = ""
    """az: a shared access signature for the container. The kit's should let create, read, list."""
    account_key: str = ""
    """az: the whole account. For the service's own program, never for a kit."""
    private_key: str = ""
    """sftp: an OpenSSH private key without a passphrase."""

    def __repr__(self) -> str:
        return "Access(...)"


def load_access(path: Path | None) -> Access | None:
    """The access file at `path`, or the credential from systemd; None if there is neither.

    Raises BadInput if others can read it, BadFile if it is not in its form; what it holds is never
    repeated.
    """
    if path is None:
        directory = os.environ.get("CREDENTIALS_DIRECTORY")
        path = Path(directory) / CREDENTIAL if directory else None
        if path is None or not path.exists():
            return None
    try:
        with open(path, "rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            data = file.read(64 * 1024)
    except OSError as error:
        raise BadInput(
            f"The access file {path} could not be read: {error.strerror}.",
            "Check its name, and that this program's user may read it.",
        ) from error
    if stat.S_IMODE(mode) & 0o077 and os.environ.get("CREDENTIALS_DIRECTORY") != str(path.parent):
        raise BadInput(
            f"The access file {path} can be read by others.",
            f"It holds a secret. Close it: chmod 600 {path}",
        )
    try:
        return msgspec.toml.decode(data, type=Access, strict=True)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        # A message of msgspec's names a field or a line, and never its content.
        raise BadFile(
            f"The access file {path} is not right.",
            f"It may hold: {', '.join(Access.__struct_fields__)}; `pin` it must.",
        ) from error
