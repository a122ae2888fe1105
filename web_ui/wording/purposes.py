"""What a family may agree to, in words."""

from collections.abc import Mapping

from web_ui.wording.language import _


def purposes_in_words() -> Mapping[str, str]:
    """Each purpose as it is asked, in order."""
    return {
        "filming": _("Filming us, and watching the film together"),
        "supervisor": _("My practitioner can show some clips to their supervisor"),
        "peers": _("My practitioner can show some clips to others in their VIG training group"),
        "training": _("Some clips can be shown at training events"),
        "copies": _("Copies of some clips for us to keep"),
        "online-review": _("Watching the film together on a video call"),
        "filming-review": _(
            "Filming us while we watch the clips together. My "
            "practitioner and their supervisor use this to learn"
        ),
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
