"""What the service holds of ours, under which names, and how we know.

    service/card.json                                   whose store this is (keys.Card)
    kits/<kit>/card.json                                KitCard, as in the kit's kit/kit.json
    kits/<kit>/heads/000001                             how far its logs had come, signed
    kits/<kit>/orders/000001                            what the service asks this kit to do
    revoked/<practitioner>                              the service's word that they are none
    orders/<order>                                      a withdrawal as it stands in its case
    tombstones/<case>                                   the service's signed answer
    tombstones/<order>                                  the same to an order for one film
    cases/<case>/identity-0001.age, documents/, clips/, derived/  as in the kit's cases/<case>
    cases/<case>/identity-0001-<practitioner>.age       the same key for a new card (readmitting)
    cases/<case>/recordings/<recording>/                as in the kit's recordings/<recording>

A receipt is written by the sync process when, and only when, the store has shown that it holds
these bytes: they were read back and compared, or it is a store that refuses others and answered
with their digest. Nothing may be deleted here without one.
"""

import re
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Literal

from appliance.errors import BadFile
from appliance.film.manifest import MENDED_NAME
from appliance.records.files import ID, Fact, Home, checked_id, load_fact, paths_in
from appliance.records.signing import Verifier

SERVICE_CARD = "service/card.json"


def kit_object(kit: str) -> str:
    return f"kits/{checked_id(kit)}/card.json"


def heads_object(kit: str, name: str) -> str:
    """A signed note of the recorder, `kit/heads/<name>`: how far the kit's logs had come."""
    return f"kits/{checked_id(kit)}/heads/{name}"


def service_order_object(kit: str, number: int) -> str:
    """What the service asks one kit to do, counting up from 1."""
    return f"kits/{checked_id(kit)}/orders/{number:06}"


def revocation_object(practitioner: str) -> str:
    """The service's signed word that a practitioner, named as on their card, is none any more."""
    return f"revoked/{practitioner}"


def revocation_name(practitioner: str) -> str:
    """The same in a kit's inbox."""
    return f"revoked-{practitioner}"


def order_object(order: str) -> str:
    return f"orders/{checked_id(order)}"


def tombstone_object(case: str) -> str:
    return f"tombstones/{checked_id(case)}"


def case_object(case: str, file: str) -> str:
    """`file` is the path inside the case's directory, such as `documents/consent-0001.age`."""
    return f"cases/{checked_id(case)}/{file}"


def film_object(case: str, recording: str, file: str) -> str:
    """`file` is the name inside the recording's directory, such as `manifest`."""
    return f"cases/{checked_id(case)}/recordings/{checked_id(recording)}/{file}"


Part = Literal["case-key", "document", "clip", "manifest", "film"]


_KEY = re.compile(r"identity-[a-z0-9._-]+\.age")
_SEALED = re.compile(r"[a-z0-9][a-z0-9._-]*\.age")
"""A name with a dot before it is a file that is being written."""


def case_files(
    directory: Path, unreadable: Callable[[Path], object] | None = None
) -> Iterator[tuple[Part, Path]]:
    """What of a case that is not withdrawn the service should have, and what each file is. So it
    is sent, and so it is looked for before anything is removed for good.

    `unreadable` is told of a folder that cannot be looked into, and then the others follow;
    without it, that raises BadFile, OSError.
    """

    def inside(folder: Path, name: re.Pattern[str]) -> list[Path]:
        try:
            return paths_in(folder, name)
        except (BadFile, OSError):
            if unreadable is None:
                raise
            unreadable(folder)
            return []

    for path in inside(directory, _KEY):
        yield "case-key", path
    for path in inside(directory / "documents", _SEALED):
        yield "document", path
    for path in inside(directory / "clips", _SEALED):
        yield "clip", path
    for share in inside(directory / "shares", ID):
        for path in inside(share, _SEALED):
            yield "clip", path
    for film in inside(directory / "derived", ID):
        # Without its note, what is mended of a film is still being made.
        for note in inside(film, MENDED_NAME):
            yield "document", note
            for path in inside(film, re.compile(rf"{note.stem}\.[a-z0-9._-]*\.age")):
                yield "film", path
    for film in inside(directory / "imports", ID):
        # So is a film from elsewhere, without its manifest.
        for manifest in inside(film, re.compile("manifest")):
            yield "manifest", manifest
            for path in inside(film, _SEALED):
                yield "film", path


class KitCard(Fact, frozen=True, kw_only=True, tag="kit/v1"):
    """A kit's public half, `kit/kit.json`: its id, and the key that its films are signed with."""

    id: str
    verifier: str

    def verifying_key(self) -> Verifier:
        """Raises BadFile."""
        return Verifier.parse(self.verifier)


class Receipt(Fact, frozen=True, kw_only=True, tag="receipt/v1"):
    """The store at `store` held exactly these bytes under this name, at this time."""

    object: str
    size: int
    sha256: str
    store: str
    at: datetime
    how: Literal["read-back", "verified"]
    """Read back and compared; or accepted, by a store that was shown to refuse another content
    than was signed for and that answered with the digest of what it got."""


def receipt_path(home: Home, name: str) -> Path:
    return home.receipts / f"{name}.json"


def receipt_of(home: Home, name: str) -> Receipt | None:
    """The receipt for an object, if there is one. Raises BadFile."""
    return load_fact(receipt_path(home, name), Receipt)


Fault = Literal[
    "unreadable", "damaged-here", "other-content", "false-tombstone", "false-order", "false-key"
]
_SENTENCES: dict[Fault, str] = {
    "unreadable": "It could not be read as what it should be, so it waits here. Ask your service.",
    "damaged-here": "The card gives back something else than was written, so it waits here. "
    "Look at the card, and ask your service.",
    "other-content": "The service's store holds something else under this name, so it waits here. "
    "Ask your service to look at its store.",
    "false-tombstone": "The store says that this family withdrew, but the service did not sign it. "
    "Nothing of this family is sent. Ask your service.",
    "false-order": "The store holds an order for this kit that the service did not sign for it. "
    "It is not carried out. Ask your service.",
    "false-key": "The key that should let a practitioner in again is not there, or not the one "
    "that the service signed for. Ask your service to let them in once more.",
}


class Problem(Fact, frozen=True, kw_only=True, tag="sync-problem/v1"):
    """One thing that could not be sent, and the code of why."""

    object: str
    code: Fault

    @property
    def sentence(self) -> str:
        """What it means and what to do, for a person."""
        return _SENTENCES[self.code]


State = Literal["sending", "sent", "incomplete", "interrupted", "refused", "waiting"]
Why = Literal["not-at-base", "out-of-hours", "no-network"]
"""Why nothing is sent just now although nothing is wrong: the `error` of a waiting status."""


class AtBase(Fact, frozen=True, kw_only=True, tag="at-base/v1"):
    """The practitioner says that the kit is at base: the page's, in memory, until it is taken away,
    the kit is switched off or `AT_BASE_SECONDS` have passed."""

    boot: str
    boottime: float


AT_BASE_SECONDS = 12 * 3600.0


def at_base_path(home: Home) -> Path:
    return home.status("web").with_name("at-base.json")


class SyncStatus(Fact, frozen=True, kw_only=True, tag="sync-status/v1"):
    """How the sending stands, for the page. In memory only, replaced as a whole."""

    state: State
    waiting: int
    """Objects still to send; below, their bytes."""
    waiting_bytes: int
    sent: int
    """Objects confirmed in this run; below, their bytes."""
    sent_bytes: int
    error: str
    """Code of what ended the run, '' if nothing did."""
    problems: tuple[Problem, ...]
    withdrawn_elsewhere: tuple[str, ...]
    """Cases open here that the service has closed: the note is in the inbox, nothing is sent."""
    last_confirmed: datetime | None
    bytes_per_second: float = 0.0
    """How fast this run goes, as far as is confirmed."""
    boot: str
    boottime: float
    """When this was written."""
