"""The log's codes in words."""

from collections.abc import Callable, Mapping
from typing import cast

from appliance.records.audit import Entry, Event
from web_ui.wording.language import N_, _
from web_ui.wording.status_line import ended_in_words, reason_in_words

WORDS: Mapping[Event, str] = {
    "armed": N_("The kit was armed"),
    "arranged": N_("Place and supervisor were written down"),
    "at-base-ended": N_("It was said that the kit has left base"),
    "at-base-said": N_("It was said that the kit is at base"),
    "broke": N_("Something broke"),
    "case-closed": N_("Everything of a case was withdrawn: it is not filmed again"),
    "case-key-received": N_("A case's key came in, sealed anew by the service"),
    "case-made": N_("A case was made"),
    "case-renewed": N_("A case's new key was confirmed, with a press of the button"),
    "ceilings-brought": N_("What a kit may do at most was brought from the service"),
    "clip-asked": N_("A moment was cut"),
    "clock-corrected": N_("The time was put right, with a press of the button"),
    "colleague-brought": N_("A colleague was brought to this kit"),
    "confirmed": N_("The service confirmed a file"),
    "consent-written": N_("A consent was recorded"),
    "copies-begun": N_("Copies for a family are being written"),
    "copies-done": N_("Copies were handed out"),
    "copies-downloaded": N_("Copies were downloaded"),
    "copies-nothing": N_("Copies were asked for, and none left the kit"),
    "copies-partly": N_("Copies were handed out in part"),
    "course-ended": N_("The work with a family was ended"),
    "damaged-here": N_("A file is damaged on this kit, and was not sent"),
    "died": N_("The recorder ended itself"),
    "disarmed": N_("The kit was disarmed"),
    "emptied-lost": N_("The store has lost a film that is not on the card any more"),
    "emptying-refused": N_("A film was not taken off the card"),
    "ends-soon": N_("The kit's way to the service's store ends soon"),
    "enough": N_("The child had enough: the film was ended"),
    "enrolled": N_("A practitioner was enrolled"),
    "false-key": N_("A case's key came in that is not the one the service signed for"),
    "false-card": N_("The store holds a card of the service that does not follow the one before"),
    "false-order": N_("The store holds an order that the service did not sign"),
    "false-tombstone": N_("The store says that a family withdrew, and the service did not sign it"),
    "film-begun": N_("A film began"),
    "film-emptied": N_("A film was taken off the card: it is at the service"),
    "film-ended": N_("A film ended"),
    "film-recovered": N_("A film that the power had cut was closed"),
    "film-removed": N_("A film was removed from the card"),
    "film-withdrawn": N_("One film was taken back"),
    "fork-settled": N_("Of what two kits wrote, one was kept"),
    "framing-asked": N_("The camera was asked for, to see what is in the picture"),
    "framing-ended": N_("Framing was ended"),
    "goals-rated": N_("Goals were rated"),
    "goals-written": N_("Goals were written"),
    "here-answered": N_("It was said who is here"),
    "hold-lifted": N_("A hold was lifted"),
    "hold-placed": N_("A hold was placed"),
    "import-asked": N_("A film made elsewhere was sent to the kit"),
    "imported": N_("A film made elsewhere became one of a case"),
    "joined": N_("A practitioner joined a case"),
    "left": N_("A practitioner left a case: it has a new key"),
    "locked": N_("The page was locked"),
    "locked-idle": N_("The page locked itself"),
    "locked-revoked": N_("Locked: the service revoked whoever was unlocked"),
    "lost-there": N_("The store had lost a file, and it goes once more"),
    "marked": N_("A moment was marked while filming"),
    "mend-failed": N_("A film that the power had cut could not be mended"),
    "mended": N_("A film that the power had cut was mended"),
    "moment-placed": N_("The moments of a review were put in order"),
    "moment-worded": N_("Words of a moment were written"),
    "new-card-made": N_("A new card was made: somebody forgot the passphrase"),
    "new-key-asked": N_("A case's new key is to be confirmed at the kit"),
    "new-key": N_("A practitioner of a case was revoked: it has a new key"),
    "new-key-waits": N_("A practitioner of a case was revoked: a new key could not be made"),
    "newcomer": N_("Somebody new came in: the kit was disarmed"),
    "older-card": N_("The store does not have the newest card of the service"),
    "older-roster": N_("The store has lost the service's newest list of its people and kits"),
    "other-content": N_("The service's store holds something else under a file's name"),
    "passphrase-changed": N_("A passphrase was changed"),
    "purposes-withdrawn": N_("One kind of use was taken back"),
    "readmission-refused": N_("An order to let a practitioner in again was refused"),
    "readmission-waits": N_("Letting a practitioner in again waits for the next try"),
    "readmitted": N_("The service let a practitioner into a case again"),
    "refusal-received": N_("The service said no to an order, for now"),
    "refused": N_("Something was refused"),
    "reset-asked": N_("It was asked to set the kit back"),
    "reset-begun": N_("The kit began to be set back, with a press of the button"),
    "reset-refused": N_("The kit was not set back"),
    "retention-over": N_("Everything of a case was removed: its time was over"),
    "retention-waits": N_("A case could not be removed in time, and waits for the next try"),
    "review-closed": N_("A shared review was closed"),
    "revocation-received": N_("The service's word on a practitioner came in"),
    "roster-received": N_("The service's newest list of its people and kits came in"),
    "revoked": N_("The service revoked a practitioner"),
    "service-order-done": N_("An order of the service was carried out"),
    "service-card": N_("The kit goes by a new card of the service"),
    "service-card-received": N_("A new card of the service came in"),
    "service-order-received": N_("An order of the service came in"),
    "page-task-waits": N_("Something that the page does by itself waits for the next try"),
    "service-order-waits": N_("An order of the service waits for the next try"),
    "service-settings": N_("The kit took in settings of the service"),
    "set-back": N_("The kit was set back: it is a new one"),
    "setup-brought": N_("Keys were brought for the set-up"),
    "share-downloaded": N_("A locked file was saved for somebody it was shared with"),
    "share-ended": N_("What was shown to somebody was ended"),
    "share-over": N_("What was shown to somebody was removed: its day is over"),
    "share-waits": N_("What was shown to somebody could not be removed yet"),
    "share-watched": N_("Somebody watched what was shared with them"),
    "shared": N_("Moments were shared with somebody"),
    "started": N_("The recorder started"),
    "still-kept": N_("A picture was kept"),
    "stop-asked": N_("A stop was asked for"),
    "stopped": N_("The recorder ended"),
    "switched-off": N_("The kit was switched off from the page"),
    "time-by-machine": N_("The time was taken from a clock of the machine"),
    "time-correction-asked": N_("It was asked to put the time right"),
    "time-not-believed": N_("A time was given that cannot be believed"),
    "time-vouched": N_("The time was confirmed"),
    "tombstone-received": N_("The service answered a withdrawal"),
    "too-large": N_("A file is too large for the service's store, and was not sent"),
    "top-up-begun": N_("A top-up was begun"),
    "unlock-refused": N_("A passphrase was wrong"),
    "unlocked": N_("The page was unlocked"),
    "unreadable": N_("A file could not be read, and was not sent"),
    "withdrawal-unfinished": N_("A withdrawal could not be finished yet"),
    "withdrawn": N_("Everything of a case was withdrawn"),
    "word-said": N_("The family said its check word"),
    "word-wrong": N_("A word was said that is not the case's check word"),
}
"""What each event is called. In English here; said in the page's language where it is shown."""


def who_in_words(process: str) -> str:
    """Whose log it stands in."""
    return {"recorder": _("Recorder"), "web": _("Page"), "sync": _("Sending")}[process]


def about_in_words(entry: Entry, name_of: Callable[[str], str]) -> str:
    """What it was about, who and why, as far as it says."""
    words = {
        "case": _("case"),
        "recording": _("film"),
        "clip": _("moment"),
        "permit": _("order to film"),
        "order": _("order"),
        "fault": _("because"),
        "code": _("because"),
    }
    told = [
        f"{words[name]} {value[:4] if len(value) == 16 else value}"
        for name, value in entry.ids.items()
        if name in words and value
    ]
    told += [
        name_of(value) for name, value in entry.ids.items() if name == "practitioner" and value
    ]
    reasons = {"reason": reason_in_words, "why": ended_in_words}
    said = [sentence(entry.ids[name]) for name, sentence in reasons.items() if name in entry.ids]
    return ". ".join([", ".join(told), *said] if told else said)


def what_in_words(entry: Entry) -> str:
    """In words; an event that an older or newer kit wrote goes by its code."""
    words = WORDS.get(cast(Event, entry.event))
    return _(words) if words else _("Event: %(code)s", code=entry.event)
