"""A consent while it is being talked through: what was said so far, kept so that a battery which
dies between two questions loses nothing.

It lies sealed and signed in the case, on this kit alone: it is no document of the case, nothing
sends it, and no other kit ever sees it. It allows nothing. It goes when it is recorded or thrown
away, and with everything else when the family withdraws.

    cases/<id>/drafts/consent.age     one at most, replaced whole with each answer
"""

from contextlib import suppress
from datetime import datetime

import msgspec

from appliance.age.recipients import parse_recipient
from appliance.age.sealing import seal
from appliance.casework.consent import Consent, consent_of
from appliance.protocol.names import Numbered
from appliance.records.files import (
    Fact,
    Timestamp,
    from_json,
    is_there,
    new_id,
    read_plain,
    save,
    sync_directory,
)
from appliance.vault.cases import UNREADABLE, OpenCase
from appliance.vault.documents import Heading, open_document, text_of

_FILE = "consent.age"
_NAME = "consentdraft"


class Asked(Fact, frozen=True, kw_only=True, tag="asked/v1"):
    """Somebody who is being asked, as it was written on the page and not checked yet."""

    id: str
    name: str = ""
    relation: str = ""
    speaks_as: str = "adult"
    answers_for: str = ""
    """'' while it was not asked, or `nobody`, `parent`, `local-authority`."""
    on_behalf_of: str = ""
    met: bool = False
    """They are here, and what is written of them was looked at today."""
    said: dict[str, bool] = msgspec.field(default_factory=dict)
    """Yes or no to each purpose that they were asked."""
    signature: str = ""


class ConsentDraft(Fact, frozen=True, kw_only=True, tag="consent-draft/v1"):
    """What was said so far."""

    id: str
    """Of the consent that it becomes, so that none is recorded twice."""
    begun: Timestamp
    people: tuple[Asked, ...]
    read_out: str = ""
    """Version of the words that were read out, '' before."""
    read_days: int = 0
    """For how many days films are kept, as it was read out."""
    read_minutes: int = 0
    """How long a film of the shared review may be, as it was asked."""
    read_supervisor: str = ""
    """Who sees such a film beside the practitioner, as it was asked; '' where nobody was named."""
    limit: str = ""
    limit_seconds: str = ""
    day: str = ""
    month: str = ""
    year: str = ""
    """Of the last day, as it was written."""
    language: str = ""
    interpreter: str = ""
    worries: str = ""
    given: str = ""
    witness: str = ""
    choice: bool = False
    """Everybody chose this themselves, as it stands: any change takes that back."""

    def person(self, name: str) -> Asked | None:
        """Who has this id; None once they were taken out."""
        return next((person for person in self.people if person.id == name), None)


def begun(known: Consent | None, at: datetime) -> ConsentDraft:
    """A draft that starts from the consent on record, if there is one: who people are is filled in,
    what they agree to is asked again."""
    people = [
        Asked(
            id=new_id(),
            name=one.name,
            relation=one.relation,
            speaks_as=one.speaks_as,
            answers_for=one.authority or "nobody",
            on_behalf_of=one.on_behalf_of,
        )
        for one in (known.people if known else ())
    ]
    return ConsentDraft(
        id=new_id(),
        begun=at,
        people=tuple(people) or (Asked(id=new_id()),),
        language=known.language if known else "",
        interpreter=known.interpreter if known else "",
    )


def keep_draft(case: OpenCase, draft: ConsentDraft) -> None:
    """Have this draft on the card, in place of the one before, when this returns."""
    # No document has the number 0, so that none can be made of a draft by putting it among them.
    heading = Heading(case=case.id, name=_NAME, number=0, home=case.home, after=(), at=case.now())
    note = case.keys.signer.sign(text_of(heading, draft))
    case.directory.drafts.mkdir(mode=0o750, exist_ok=True)
    sealed = seal(note.encode(), [parse_recipient(case.record.recipient)])
    save(case.directory.drafts / _FILE, sealed)


def draft_of(case: OpenCase, now: datetime) -> ConsentDraft | None:
    """The draft that was begun today, or None. One that is older, that cannot be read, or that was
    recorded just before the power went, is thrown away."""
    draft = None
    with suppress(*UNREADABLE):
        sealed = read_plain(case.directory.drafts / _FILE)
        name = Numbered(_FILE, _NAME, 0, case.home)
        document = open_document(sealed, case.identities, case.verifiers, case.id, name)
        draft = from_json(document.body, ConsentDraft)
    recorded = consent_of(case)
    if draft is not None:
        today = draft.begun.astimezone().date() == now.astimezone().date()
        if today and not (recorded and recorded.record_id == draft.id):
            return draft
    throw_draft_away(case)
    return None


def throw_draft_away(case: OpenCase) -> None:
    """Have no draft on the card when this returns. Safe to call again."""
    path = case.directory.drafts / _FILE
    if is_there(path):
        path.unlink()
        sync_directory(path.parent)
