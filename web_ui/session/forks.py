"""What two kits wrote of a case without knowing of each other, in words."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from appliance.casework.clips import Clip, Still
from appliance.casework.course import Arranged, Course
from appliance.casework.forks import Fork, forks
from appliance.casework.reviews import Review
from appliance.records.files import Fact
from appliance.vault.cases import Details, Goals, OpenCase, Team
from web_ui.wording.language import N_, _

TITLES: Mapping[str, str] = {
    "details": N_("What you call this family"),
    "goals": N_("Goals"),
    "team": N_("Who works with this family"),
    "course": N_("Progress"),
    "arranged": N_("Where you meet and who supervises"),
    "rated": N_("How close are you to your goals?"),
    "review": N_("A shared review"),
    "clip": N_("Notes on a clip"),
    "still": N_("Notes on a still"),
    "marks": N_("Moments marked while filming"),
    "share": N_("Clips for a supervisor"),
    "copies": N_("Copies for the family"),
    "warned": N_("Notice of the deletion date"),
    "newcomer": N_("Note that someone came in"),
    "enough": N_("Note that the child had had enough"),
}


@dataclass(frozen=True)
class Shown:
    """One version, in words."""

    digest: str
    words: Sequence[str]
    at: datetime | None
    home: str
    """The kit that wrote it; '' for one from before that was written down."""
    own: bool
    """This kit wrote it."""


@dataclass(frozen=True)
class ShownFork:
    """A document that two kits wrote; the version that counts is the first."""

    name: str
    item: str
    title: str
    versions: Sequence[Shown]


def shown_forks(case: OpenCase, *names: str) -> list[ShownFork]:
    """Every fork of the case, or those of documents with these names."""
    return [_shown(case, fork) for fork in forks(case) if not names or fork.name in names]


def _shown(case: OpenCase, fork: Fork) -> ShownFork:
    versions = [
        Shown(one.digest, words_of(one.fact), one.at, one.home, one.home == case.home)
        for one in fork.versions
    ]
    return ShownFork(fork.name, fork.item, _(TITLES[fork.name]), versions)


def words_of(fact: Fact) -> list[str]:
    """What a document says, as far as a person can tell two of them apart by it."""
    words: Sequence[str] = ()
    match fact:
        case Details():
            words = [fact.label]
        case Goals():
            not_yet = (
                [_("No goals yet: the family wants to see a film first")] if fact.not_yet else []
            )
            words = [goal.text for goal in fact.goals] or not_yet
        case Team():
            words = [card.name for card in fact.members]
        case Course():
            ended = _("The work has finished") if fact.ended else _("The work is going on")
            words = [ended, fact.next_steps]
        case Arranged():
            words = [fact.place, fact.supervisor]
        case Review():
            words = [fact.strengths, fact.next]
        case Clip() | Still():
            said = fact.words
            words = [said.note, said.question, said.principle]
    return [word for word in words if word]
