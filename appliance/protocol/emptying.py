"""Emptying a card: the sealed files of one film leave it, and its signed manifest stays, so that
everybody still knows of the film. It is at the service then, and nowhere else.

No shipped setting allows it. It takes the order of a person of the case's team, and the service's
word that it read every byte of the film at its store within seven days: a receipt or a listing says
less (`docs/decisions/0014-what-may-leave-a-card.md`).

    kits/<kit>/films-read       at the store: which films of a kit the service read whole, signed
    inbox/films-read            that, on the kit
    kit/emptied/<recording>     the recorder's signed note, written before anything is removed
"""

from datetime import timedelta

from appliance.errors import Reason
from appliance.film.manifest import Sha256
from appliance.records.files import Fact, Home, Timestamp, checked_id, is_there

FILMS_READ = "films-read"
MOST_NAMED = 400
"""Films that one word of the service names: as many as fit into a note."""
ORDER_LASTS = timedelta(days=1)
"""An order that is older was given for another day."""
PROOF_LASTS = timedelta(days=7)
CLOCKS_APART = timedelta(hours=1)
"""The service's clock and the kit's are two."""


class FilmEmptying(Fact, frozen=True, kw_only=True, tag="film-emptying/v1"):
    """One film may leave the card of one kit. Signed by a practitioner of its case, who says with
    it that the family has looked at the film."""

    case: str
    kit: str
    film: str
    manifest: Sha256
    """Of the film's signed manifest, as it stands on the card."""
    seen: Timestamp
    """When it was looked at together, by the case's reviews."""
    at: Timestamp


class FilmsRead(Fact, frozen=True, kw_only=True, tag="films-read/v1"):
    """The service read these films of a kit at its store, every byte of every file, and found what
    their manifests say. Signed by it. What was taken back or is under a hold is not among them."""

    kit: str
    at: Timestamp
    """When it began to look."""
    films: dict[str, Sha256]
    """By the name of each the digest of its manifest."""


class FilmEmptied(Fact, frozen=True, kw_only=True, tag="film-emptied/v1"):
    """The sealed files of a film leave the card. Signed by the recorder before any did."""

    recording: str
    case: str
    kit: str
    manifest: Sha256
    order: Sha256
    """Of the order, as it was signed."""
    read: Sha256
    """Of the service's word that it read the film, as it was signed."""
    at: Timestamp


class EmptyingRefusal(Reason):
    """Why a film stays on the card. The log and the page use these codes."""

    OFF = "emptying-off", ("Films cannot be removed from this kit: its settings do not allow it.")
    NOT_SIGNED = (
        "emptying-not-signed",
        "No practitioner of this kit signed this request, or it is for another kit.",
    )
    NOT_OF_TEAM = (
        "emptying-not-of-team",
        "The person who signed this request does not work with this family, as far as "
        "this kit knows.",
    )
    KIT_AWAY = (
        "emptying-kit-away",
        "This kit has not heard from its service for too long, or is marked as lost.",
    )
    CLOCK_NOT_SET = (
        "emptying-clock-not-set",
        "The kit does not know what time it is, so it cannot tell how old anything is.",
    )
    OLD_ORDER = "emptying-old-order", "This request is from another day. Make it again."
    NO_FILM = (
        "emptying-no-film",
        "This family has no such film on the memory card, or it is not the film you meant.",
    )
    NOT_SEEN = (
        "emptying-not-seen",
        "The request does not say that the family has watched this film.",
    )
    CLOSED = (
        "emptying-case-closed",
        "The family has withdrawn this film, or their records are closed or cannot be read.",
    )
    HELD = "emptying-held", "There is a hold on this film."
    NOT_CONFIRMED = (
        "emptying-not-confirmed",
        "Not every file of this film has been uploaded. Upload from the kit at base.",
    )
    NOT_READ = (
        "emptying-not-read",
        "The service has not checked this film in its store in the last 7 days. Ask it "
        "for an audit that reads every film, and upload from the kit at base.",
    )


def films_read_object(kit: str) -> str:
    return f"kits/{checked_id(kit)}/{FILMS_READ}"


def is_emptied(home: Home, film: str) -> bool:
    """True as soon as the recorder's note is on the card, readable or not."""
    return is_there(home.emptied / checked_id(film))
