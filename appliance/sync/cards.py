"""The cards of the service on their way to this kit: numbered, each following from the one before,
and none is ever taken back.

The recorder takes in what lies in the inbox (`firmware.books`). An older copy of the store, which
lacks what this kit has, is told.
"""

from contextlib import suppress

import msgspec

from appliance.errors import BadInput
from appliance.protocol.cards import CardChain
from appliance.protocol.enrolment import LARGEST_CARD, Enrolled, card_path
from appliance.protocol.objects import service_card_object
from appliance.protocol.status import Problem
from appliance.records.audit import Log
from appliance.records.files import Home, read_text, save
from appliance.stores.store import Store
from appliance.sync.orders import read_there


def follow(
    home: Home, store: Store, enrolled: Enrolled, log: Log
) -> tuple[Enrolled, list[Problem]]:
    """Fetch the cards that follow; returns whom this kit obeys with them in force, as it will be
    once the recorder has taken them in.

    Raises SendInterrupted, SendRefused.
    """
    chain = _with_those_here(home, enrolled.chain)
    known = chain.number
    while note := read_there(store, service_card_object(chain.number + 1)):
        try:
            # As strictly as the recorder reads it: neither goes by a card without the other.
            chain = chain.followed_by(note.decode())
        except (BadInput, UnicodeDecodeError):
            break
        save(card_path(home, chain.number), note)
        log.write("service-card-received", number=f"{chain.number:04}")
    problems = []
    if note is not None:
        problems.append(Problem(object=service_card_object(chain.number + 1), code="false-card"))
    if chain.number == known > 1:
        newest = service_card_object(known)
        if read_there(store, newest) != chain.notes[-1].encode():
            problems.append(Problem(object=newest, code="older-card"))
    return msgspec.structs.replace(enrolled, cards=chain.notes), problems


def _with_those_here(home: Home, chain: CardChain) -> CardChain:
    with suppress(BadInput, OSError):
        while True:
            path = card_path(home, chain.number + 1)
            chain = chain.followed_by(read_text(path, LARGEST_CARD))
    return chain
