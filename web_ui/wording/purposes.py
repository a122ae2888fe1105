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
