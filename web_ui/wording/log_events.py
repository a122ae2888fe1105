"""The log's codes in words."""

from collections.abc import Callable, Mapping
from typing import cast

from appliance.records.audit import Entry, Event
from web_ui.wording.language import N_, _
from web_ui.wording.status_line import ended_in_words, reason_in_words

WORDS: Mapping[Event, str] = {
    "armed": N_("Button turned on: ready to film"),
    "arranged": N_("Place and supervisor recorded"),
    "at-base-ended": N_("Practitioner said the kit has left base"),
    "at-base-said": N_("Practitioner said the kit is at base"),
    "broke": N_("The kit had a fault"),
    "case-closed": N_("Family withdrew consent for everything: no more filming"),
    "case-key-received": N_("New key for a family received from the service"),
    "case-made": N_("Family added"),
    "case-renewed": N_("New key for a family confirmed by a button press"),
    "ceilings-brought": N_("Service limits added"),
    "clip-asked": N_("Clip saved"),
    "clock-corrected": N_("Time corrected, confirmed by a button press"),
    "colleague-brought": N_("Colleague added to this kit"),
    "confirmed": N_("File uploaded and confirmed"),
    "consent-written": N_("Consent recorded"),
    "copies-begun": N_("Making copies for a family"),
    "copies-done": N_("Copies made for a family"),
    "copies-downloaded": N_("Copies downloaded"),
    "copies-nothing": N_("Copies requested, but none made"),
    "copies-partly": N_("Copies partly made"),
    "course-ended": N_("Work with a family finished"),
    "damaged-here": N_("File damaged on this kit: not uploaded"),
    "died": N_("Recorder stopped because of a fault"),
    "disarmed": N_("Button turned off"),
    "emptied-lost": N_("The service's store has lost a film that is no longer on this kit"),
    "emptying-refused": N_("Film not removed from the memory card"),
    "ends-soon": N_("The kit's access to the service's store ends soon"),
    "enough": N_("The child had had enough: film stopped"),
    "enrolled": N_("Practitioner set up"),
    "false-key": N_("A key received for a family does not match the one the service signed for"),
    "false-card": N_(
        "The store has an ID file for the service that does not follow the one before"
    ),
    "false-order": N_("The store has a request that the service did not sign"),
    "false-tombstone": N_(
        "The store says that a family withdrew consent, but the service did not sign it"
    ),
    "film-begun": N_("Film started"),
    "film-emptied": N_("Film removed from the memory card: the service has it"),
    "film-ended": N_("Film stopped"),
    "film-recovered": N_("Film cut off by a power cut was saved"),
    "film-removed": N_("Film deleted from the memory card"),
    "film-withdrawn": N_("Family withdrew one film"),
    "fork-settled": N_("One of two kits' versions was chosen"),
    "framing-asked": N_("Camera turned on to check the picture"),
    "framing-ended": N_("Camera turned off after checking the picture"),
    "goals-rated": N_("Goals rated"),
    "goals-written": N_("Goals recorded"),
    "here-answered": N_("People in the room confirmed"),
    "hold-lifted": N_("Hold ended"),
    "hold-placed": N_("Hold put on"),
    "import-asked": N_("Film copied to this kit from elsewhere"),
    "imported": N_("Film from elsewhere added to a family"),
    "joined": N_("Practitioner added to a family"),
    "left": N_("Practitioner removed from a family, which has a new key"),
    "locked": N_("Page locked"),
    "locked-idle": N_("Page locked itself"),
    "locked-revoked": N_("Page locked: the service removed this practitioner"),
    "lost-there": N_("The store had lost a file: uploading it again"),
    "marked": N_("Moment marked while filming"),
    "mend-failed": N_("Film cut off by a power cut could not be repaired"),
    "mended": N_("Film cut off by a power cut was repaired"),
    "moment-placed": N_("Review clips put in order"),
    "moment-worded": N_("Notes on a clip saved"),
    "new-card-made": N_("New ID file made after a forgotten passphrase"),
    "new-key-asked": N_("New key waiting to be confirmed on the kit"),
    "new-key": N_("Practitioner removed from a family by the service: the family has a new key"),
    "new-key-waits": N_(
        "Practitioner removed from a family by the service: a new key could not be made"
    ),
    "newcomer": N_("Someone new came in: button turned off"),
    "older-card": N_("The store does not have the service's newest ID file"),
    "older-roster": N_("The store has lost the service's newest list of people and kits"),
    "other-content": N_("The service's store has something else under a file's name"),
    "passphrase-changed": N_("Passphrase changed"),
    "purposes-withdrawn": N_("Consent withdrawn for one use"),
    "readmission-refused": N_("Request to let a practitioner back in was refused"),
    "readmission-waits": N_("Letting a practitioner back in: will try again"),
    "readmitted": N_("Practitioner let back in to a family by the service"),
    "refusal-received": N_("The service said no to a request, for"),
    "refused": N_("Request refused"),
    "reset-asked": N_("Reset requested"),
    "reset-begun": N_("Reset started by a button press"),
    "reset-refused": N_("Kit not reset"),
    "retention-over": N_("Everything about a family deleted: the time to keep films ended"),
    "retention-waits": N_("Family could not be deleted on time: will try again"),
    "review-closed": N_("Shared review finished"),
    "revocation-received": N_("Update about a practitioner received from the service"),
    "roster-received": N_("New list of people and kits received from the service"),
    "revoked": N_("Practitioner removed by the service"),
    "service-order-done": N_("Service request completed"),
    "service-card": N_("The kit now uses the service's new ID file"),
    "service-card-received": N_("New ID file received from the service"),
    "service-order-received": N_("Service request received"),
    "page-task-waits": N_("A task on this kit will be tried again"),
    "service-order-waits": N_("Service request: will try again"),
    "service-settings": N_("Service settings updated"),
    "set-back": N_("Kit reset"),
    "setup-brought": N_("Files added for set-up"),
    "share-downloaded": N_("A locked file was saved for someone it was shared with"),
    "share-ended": N_("Sharing stopped"),
    "share-over": N_("Shared clips deleted: the last day has passed"),
    "share-waits": N_("Shared clips could not be deleted yet"),
    "share-watched": N_("Someone watched what was shared with them"),
    "shared": N_("Clips shared"),
    "started": N_("Recorder started"),
    "still-kept": N_("Still saved"),
    "stop-asked": N_("Stop requested"),
    "stopped": N_("Recorder stopped"),
    "switched-off": N_("Kit turned off from the page"),
    "time-by-machine": N_("Time taken from one of the kit's clocks"),
    "time-correction-asked": N_("Time correction requested"),
    "time-not-believed": N_("Impossible time entered"),
    "time-vouched": N_("Time confirmed"),
    "tombstone-received": N_("The service answered a withdrawal"),
    "too-large": N_("File too big for the service's store: not uploaded"),
    "top-up-begun": N_("Top-up started"),
    "unlock-refused": N_("Wrong passphrase entered"),
    "unlocked": N_("Page unlocked"),
    "unreadable": N_("File could not be read: not uploaded"),
    "withdrawal-unfinished": N_("Withdrawal not finished yet"),
    "withdrawn": N_("Family withdrew consent for everything"),
    "word-said": N_("Check word confirmed"),
    "word-wrong": N_("Wrong check word entered"),
}
"""What each event is called. In English here; said in the page's language where it is shown."""


def who_in_words(process: str) -> str:
    """Whose log it stands in."""
    return {"recorder": _("Camera"), "web": _("Page"), "sync": _("Uploads")}[process]


def about_in_words(entry: Entry, name_of: Callable[[str], str]) -> str:
    """What it was about, who and why, as far as it says."""
    words = {
        "case": _("family"),
        "recording": _("film"),
        "clip": _("clip"),
        "permit": _("permission to film"),
        "order": _("request"),
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
