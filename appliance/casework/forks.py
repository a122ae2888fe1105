"""What two homes of one case wrote without knowing of each other, and keeping one of both.

Of a consent, a hold or the moments that were chosen both count together (`vault.cases.Joins`);
whatever is written next replaces both. Of anything else the later counts, until somebody keeps the
other or writes it anew.
"""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

from appliance.casework.clips import Clip, Marks, Still
from appliance.casework.consent import Consent, Enough, Newcomer
from appliance.casework.copies import Copies
from appliance.casework.course import Arranged, Course, Rated
from appliance.casework.retention import Warned
from appliance.casework.reviews import Review
from appliance.casework.shares import Share
from appliance.errors import NoMatch
from appliance.records.files import Fact
from appliance.vault.cases import UNREADABLE, Details, Goals, OpenCase, Team, Written, stem_of

KINDS: Mapping[str, type[Fact]] = {
    stem_of(kind): kind
    for kind in (
        *(Details, Goals, Team, Course, Arranged, Rated, Review, Clip, Still, Marks),
        *(Share, Copies, Warned, Newcomer, Enough),
    )
}
"""Every document of which the later counts, by its name."""


@dataclass(frozen=True)
class Fork:
    """A document of which several versions are in force."""

    name: str
    item: str
    """Its id where there are many of the kind, '' where there is one."""
    versions: tuple[Written[Fact], ...]
    """Those that can be read and kept here, the one that counts first."""


def forks(case: OpenCase) -> list[Fork]:
    """Every document of which the later counts until one is kept."""
    found = []
    for stem in case.forked():
        name, _, item = stem.partition("-")
        with suppress(*UNREADABLE, KeyError):
            versions = tuple(one for one in case.versions(KINDS[name], item) if _here(case, one))
            if versions:
                found.append(Fork(name, item, versions))
    return found


def has_two_consents(case: OpenCase) -> bool:
    """True while what is agreed to is what two consents both allow."""
    return stem_of(Consent) in case.forked()


def keep(case: OpenCase, name: str, item: str, digest: str) -> None:
    """Keep one version of a document, in place of all. Raises NoMatch if it is none of them any
    more."""
    for fork in forks(case):
        here = [one.digest for one in fork.versions]
        if (fork.name, fork.item) == (name, item) and digest in here:
            case.keep(KINDS[name], digest, item)
            return
    raise NoMatch("Someone has already chosen.", "Check the page again.")


def _here(case: OpenCase, one: Written[Fact]) -> bool:
    """A list of who works in the case could close it here, to whoever keeps it: its key must be
    here, and they themselves on it."""
    if not isinstance(one.fact, Team):
        return True
    keys = {str(identity.recipient) for identity in case.identities}
    return one.fact.recipient in keys and case.keys.card() in one.fact.members
