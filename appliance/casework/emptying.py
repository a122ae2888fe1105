"""Ordering that a film leaves the card (`protocol.emptying`), once the family has looked at it."""

import hashlib
from datetime import datetime

from appliance.casework.reviews import reviews_of
from appliance.errors import BadInput
from appliance.film.manifest import MANIFEST, parse_manifest
from appliance.protocol.emptying import FilmEmptying
from appliance.records.files import Home, read_text
from appliance.records.signing import sign_fact
from appliance.vault.cases import OpenCase


def order_to_empty(case: OpenCase, home: Home, kit: str, film: str, at: datetime) -> str:
    """The signed order for one film of this case, for the recorder of this kit. A film counts as
    looked at by the rule by which it is kept: a review at which something was shown came after it.

    Raises BadInput where none did, BadFile, OSError.
    """
    note = read_text(home.recording(film) / MANIFEST)
    filmed = parse_manifest(note).started.started
    looked = [one.held for one in reviews_of(case) if one.shown and filmed <= one.held <= at]
    if not looked:
        raise BadInput(
            "The family has not watched this film yet, so it stays on the memory card.",
            "Watch it together first, and finish the review.",
        )
    said = FilmEmptying(
        case=case.id,
        kit=kit,
        film=film,
        manifest=hashlib.sha256(note.encode()).hexdigest(),
        seen=looked[0],
        at=at,
    )
    return sign_fact(case.keys.signer, said)
