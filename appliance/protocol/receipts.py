"""How we know that the service has it.

A receipt is written by the sync process when, and only when, the store has shown that it holds
these bytes: they were read back and compared, or it is a store that refuses others and answered
with their digest. Nothing may be deleted here without one.
"""

from datetime import datetime
from pathlib import Path
from typing import Literal

from appliance.records.files import Fact, Home, load_fact


class Receipt(Fact, frozen=True, kw_only=True, tag="receipt/v1"):
    """The store at `store` held exactly these bytes under this name, at this time."""

    object: str
    """Its name there: the file's own, or one beside it where that was taken (`protocol.names`)."""
    size: int
    sha256: str
    store: str
    at: datetime
    how: Literal["read-back", "verified"]
    """Read back and compared; or accepted, by a store that was shown to refuse another content
    than was signed for and that answered with the digest of what it got."""


def receipt_path(home: Home, name: str) -> Path:
    """Where the receipt lies for the file whose own name at the store is this."""
    return home.receipts / f"{name}.json"


def receipt_of(home: Home, name: str) -> Receipt | None:
    """The receipt for an object, if there is one. Raises BadFile."""
    return load_fact(receipt_path(home, name), Receipt)
