"""What the service holds of ours, and under which names.

service/card.json                                   whose store this is (`cards.Card`)
service/card/0002                                   its cards after the first, signed
service/roster/000001                               its people and kits, signed (`roster`)
service/ledger                                      how far its ledger had come, signed
service/lease/000001                                which base works here, until when, signed
kits/<kit>/card.json                                KitCard, as in the kit's kit/kit.json
kits/<kit>/heads/000001                             how far its logs had come, signed
kits/<kit>/logs/000001.age                          its logs, sealed to the service
kits/<kit>/orders/000001                            what the service asks this kit to do
kits/<kit>/films-read                               which of its films were read whole (`emptying`)
revoked/<practitioner>                              the service's word that they are none
holds/<case>/<hold>, <hold>-lifted                  nothing of it is removed; that has ended
holds/<case>/why-<hold>.age                         why, sealed to the service (`hold_reasons`)
audits/000001, audits/newest                        what the service found when it looked through
orders/<order>                                      a withdrawal as it stands in its case
purged/<case>                                       all of it is gone, says the service
tombstones/<case>                                   the service's signed answer
tombstones/<order>                                  the same to an order for one film
cases/<case>/identity-0001.age, documents/, clips/, derived/  as in the kit's cases/<case>
cases/<case>/identity-0001-<practitioner>.age       the same key for a new card (readmission)
cases/<case>/keep-0001-<kit>                        until when it is kept (`retention`)
cases/<case>/team-0001-<digest>                     who works with the family, signed (`teams`)
cases/<case>/recordings/<recording>/                as in the kit's recordings/<recording>
"""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

from appliance.errors import BadFile
from appliance.film.manifest import MENDED_NAME
from appliance.protocol.names import numbered
from appliance.protocol.retention import KEEP_NAME
from appliance.protocol.teams import TEAM_NAME
from appliance.records.files import ID, CaseFolder, checked_id, paths_in

SERVICE_CARD = "service/card.json"
SERVICE_CARDS = "service/card/"
NEWEST_AUDIT = "audits/newest"


def service_card_object(number: int) -> str:
    """A card of the service after its first; numbers count up from 2."""
    return f"{SERVICE_CARDS}{number:04}"


def kit_object(kit: str) -> str:
    return f"kits/{checked_id(kit)}/card.json"


def heads_object(kit: str, name: str) -> str:
    """A signed note of the recorder, `kit/heads/<name>`: how far the kit's logs had come."""
    return f"kits/{checked_id(kit)}/heads/{name}"


def logs_object(kit: str, name: str) -> str:
    """A part of its logs, `kit/outbox/<name>`."""
    return f"kits/{checked_id(kit)}/logs/{name}"


def service_order_object(kit: str, number: int) -> str:
    """What the service asks one kit to do, counting up from 1."""
    return f"kits/{checked_id(kit)}/orders/{number:06}"


def revocation_object(practitioner: str) -> str:
    """The service's signed word that a practitioner, named as on their card, is none any more."""
    return f"revoked/{practitioner}"


def revocation_name(practitioner: str) -> str:
    """The same in a kit's inbox."""
    return f"revoked-{practitioner}"


def hold_object(case: str, hold: str) -> str:
    """A hold on a case or on a film of it. Where it was lifted, `-lifted` follows."""
    return f"holds/{checked_id(case)}/{hold}"


def audit_object(number: int) -> str:
    """What the service found when it looked through its store, counting up from 1."""
    return f"audits/{number:06}"


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


Part = Literal["case-key", "people", "team", "keep", "document", "clip", "manifest", "film"]
_KEY = re.compile(r"identity-[a-z0-9._-]+\.age")
_SEALED = re.compile(r"[a-z0-9][a-z0-9._-]*\.age")
"""A name with a dot before it is a file that is being written."""


def case_files(
    directory: CaseFolder, unreadable: Callable[[Path], object] | None = None
) -> Iterator[tuple[Part, Path]]:
    """What of a case that is not withdrawn the service should have, and what each file is. So it
    is sent, and so it is looked for before anything is removed for good.

    `unreadable` is called with each folder that cannot be read, and the others follow. Without it,
    such a folder raises BadFile, OSError.
    """

    def inside(folder: Path, name: re.Pattern[str]) -> list[Path]:
        try:
            return paths_in(folder, name)
        except (BadFile, OSError):
            if unreadable is None:
                raise
            unreadable(folder)
            return []

    folders: list[tuple[Part, Path, re.Pattern[str]]] = [
        ("case-key", directory, _KEY),
        ("keep", directory, KEEP_NAME),
        ("people", directory, TEAM_NAME),
        ("document", directory.documents, _SEALED),
        ("clip", directory.clips, _SEALED),
        *(("clip", share, _SEALED) for share in inside(directory.shares, ID)),
    ]
    for part, folder, name in folders:
        for path in inside(folder, name):
            is_team = (name_of := numbered(path.name)) is not None and name_of.stem == "team"
            yield "team" if is_team else part, path
    for film in inside(directory.derived, ID):
        # Without its note, what is mended of a film is still being made.
        for note in inside(film, MENDED_NAME):
            yield "document", note
            for path in inside(film, re.compile(rf"{note.stem}\.[a-z0-9._-]*\.age")):
                yield "film", path
    for film in inside(directory.imports, ID):
        # So is a film from elsewhere, without its manifest.
        for manifest in inside(film, re.compile("manifest")):
            yield "manifest", manifest
            for path in inside(film, _SEALED):
                yield "film", path
