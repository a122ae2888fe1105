"""What a family may agree to, in words."""

from collections.abc import Mapping

from web_ui.wording.language import _


def purposes_in_words() -> Mapping[str, str]:
    """Each purpose as it is asked, in order."""
    return {
        "filming": _("Filming, and looking at the film together"),
        "supervisor": _("The practitioner's supervisor may watch chosen clips"),
        "peers": _("Colleagues in training together may watch chosen clips"),
        "training": _("Chosen clips may be shown at training events"),
        "copies": _("Copies of chosen clips for the family itself"),
        "online-review": _("Looking at the film together over a video call"),
        "filming-review": _("Filming the shared review itself, for the practitioner to learn from"),
    }


def purposes_as_said() -> Mapping[str, str]:
    """The same, as each person says it for themselves."""
    return {
        "filming": _("I agree to be filmed, and to look at the film together."),
        "supervisor": _("I agree that the practitioner's supervisor may watch chosen clips."),
        "peers": _("I agree that colleagues in training together may watch chosen clips."),
        "training": _("I agree that chosen clips may be shown at training events."),
        "copies": _("I agree that our family may have copies of chosen clips."),
        "online-review": _("I agree to look at the film together over a video call."),
        "filming-review": _(
            "I agree that the shared review itself is filmed, for the practitioner to learn from."
        ),
    }
