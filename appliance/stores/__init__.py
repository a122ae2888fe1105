"""Where sealed objects lie at the service: existing engines behind one interface, opened by URL.

    file:///srv/attune                                       a folder: a disk, an office share
    sftp://kit@host:22/attune                                any machine with OpenSSH
    s3://bucket/prefix?endpoint=https://host:7443&region=x   any S3-compatible engine
    az://container/prefix?account=name                       Azure (`endpoint=` for another host)

The address is public and part of every receipt. What is secret, and the pin by which the store is
known, is in an `Access` file. docs/stores.md has a policy for each engine under which a kit can
create and read, and neither overwrite nor delete.
"""

import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

from appliance.errors import BadInput
from appliance.stores.access import Access
from appliance.stores.folder import FolderStore
from appliance.stores.store import ServiceStore, Store, checked_name, pieces

REMOTE = ("s3", "az", "sftp")
"""Schemes of the stores to which a network leads."""
_FILM = re.compile(r"(?P<root>.*)/cases/(?P<case>[a-z2-7]{16})/recordings/(?P<film>[a-z2-7]{16})/?")


def store_url(text: str) -> str:
    """The address as receipts have it, without looking whether anything is there."""
    address = urlsplit(text)
    if address.scheme in REMOTE:
        return address.geturl()
    return Path(unquote(address.path) if address.scheme else text).absolute().as_uri()


def open_store(text: str, access: Access | None = None, patience: float = 60.0) -> ServiceStore:
    """The store at a URL, or in a folder. It must be there: none is ever made.

    `patience` is how many seconds it may be silent. Raises BadInput for what is no place to send
    to or lacks what it needs, SendRefused or SendInterrupted if it cannot be reached.
    """
    address = urlsplit(text)
    if not text:
        raise BadInput(
            "This kit does not know where to send to.",
            "Set `store` in its settings to the service's store, such as file:///srv/attune.",
        )
    # Imported only where they are used: each takes memory and a tenth of a second.
    if address.scheme in ("s3", "az"):
        from appliance.stores.cloud import open_azure, open_s3

        engine = open_s3 if address.scheme == "s3" else open_azure
        return engine(address, _needed(access, text), patience)
    if address.scheme == "sftp":
        from appliance.stores.sftp import open_sftp

        return open_sftp(address, _needed(access, text), patience)
    path = Path(unquote(address.path) if address.scheme else text)
    other = address.scheme not in ("", "file") or address.netloc or address.query
    if other or address.fragment or (address.scheme and not path.is_absolute()):
        raise BadInput(
            f"{text} is no place to send to.",
            "A folder is written file:///path/of/the/folder, with three slashes; other stores "
            "begin with s3://, az:// or sftp://.",
        )
    return FolderStore(path)


def split_film_url(text: str) -> tuple[str, str, str]:
    """The store, the case and the film of an address such as STORE/cases/CASE/recordings/FILM.

    Raises BadInput, BadFile.
    """
    address = urlsplit(text)
    found = _FILM.fullmatch(address.path)
    if not found:
        raise BadInput(
            f"{text} is not the address of a film in a store.",
            "Write STORE/cases/CASE/recordings/FILM.",
        )
    return address._replace(path=found["root"]).geturl(), found["case"], found["film"]


def fetch(store: Store, prefix: str, folder: Path) -> int:
    """Copy what begins so to the same names below `folder`; returns how much there was."""
    count = 0
    for entry in store.list(prefix):
        file = store.open(checked_name(entry.name))
        if file is None:
            continue
        path = folder / entry.name
        path.parent.mkdir(parents=True, exist_ok=True)
        with file, open(path, "wb") as copy:
            copy.writelines(pieces(file))
        count += 1
    return count


def _needed(access: Access | None, text: str) -> Access:
    if access is None:
        raise BadInput(
            f"How to get into {text} is not known.",
            "Name the access file from your service: `store_access` in the kit's settings, or "
            "--access FILE. It holds the store's pin and the kit's credential.",
        )
    return access
