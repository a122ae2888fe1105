"""The service's newest roster, brought in for the recorder (`protocol.roster`)."""

from contextlib import suppress

from appliance.errors import BadFile, BadInput, NotAFile
from appliance.protocol.cards import CardChain
from appliance.protocol.enrolment import Enrolled
from appliance.protocol.roster import LARGEST, read_roster, roster_object
from appliance.protocol.status import Problem
from appliance.records.audit import Log
from appliance.records.files import Home, read_text, save
from appliance.stores.store import Store, read_small
from appliance.sync.orders import something_at

_MOST = 10_000
"""Numbers that are looked for at one contact: two centuries of weeks."""


def follow_roster(home: Home, store: Store, enrolled: Enrolled, log: Log) -> list[Problem]:
    """Bring in the newest roster of this kit's service, if it has one. An older one never comes in:
    where the one that is known is gone, the store is a copy of before, and that is told.

    Raises SendInterrupted, SendRefused.
    """
    service = enrolled.chain
    known = _known(home, service)
    problems = []
    if known and not something_at(store, roster_object(known)):
        problems.append(Problem(object=roster_object(known), code="older-roster"))
    last = known
    while last < known + _MOST and something_at(store, roster_object(last + 1)):
        last += 1
    for number in range(last, known, -1):
        try:
            note = read_small(store, roster_object(number), LARGEST) or b""
            if read_roster(note, service).number != number:
                raise BadFile("This roster belongs elsewhere.")
        except (BadInput, NotAFile):
            problems.append(Problem(object=roster_object(number), code="false-order"))
            continue
        save(home.roster_there, note)
        log.write("roster-received", order=f"{number:06}")
        break
    return problems


def _known(home: Home, service: CardChain) -> int:
    """The number of the newest that came in; 0 for none that is this service's word: what a key
    signed that a card has left out says nothing of what the service has signed."""
    numbers = [0]
    for path in (home.roster_there, home.roster):
        with suppress(BadInput, OSError):
            numbers.append(read_roster(read_text(path, LARGEST), service).number)
    return max(numbers)
