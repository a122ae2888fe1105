"""Who people are: files and the log have ids, a page has the names of the service's roster."""

from collections import Counter
from collections.abc import Mapping

from appliance.errors import BadInput
from appliance.protocol.cards import CardChain
from appliance.protocol.roster import LARGEST, Roster, read_roster
from appliance.records.files import Home, read_text
from web_ui.wording.language import _


def roster_here(home: Home, service: CardChain) -> Roster | None:
    """The one that the recorder goes by; None where the service made none, or it cannot be read. Of
    one that a stolen key signed the end still counts."""
    try:
        return read_roster(read_text(home.roster, LARGEST), service, before=True)
    except (BadInput, OSError):
        return None


def names_in(roster: Roster | None) -> Mapping[str, str]:
    """The name of each person, by the name on their card. Who shares a name is told apart."""
    people = [one for one in roster.people if one.name.strip()] if roster else []
    often = Counter(one.name.strip() for one in people)
    return {
        one.card.name: one.name.strip()
        + (f" ({_short(one.card.name)})" if often[one.name.strip()] > 1 else "")
        for one in people
    }


def named(card: str, names: Mapping[str, str]) -> str:
    """What a page calls the owner of this card; without a name in the roster, the beginning of
    their number."""
    return names.get(card) or _("Practitioner %(id)s", id=_short(card))


def _short(card: str) -> str:
    return card.partition("-")[2][:4]
