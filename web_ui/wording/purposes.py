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


def purposes_as_said(review: str, supervisor: str) -> Mapping[str, str]:
    """The same, as each person says it for themselves. `review`: how long a film of the shared
    review may be, in words; `supervisor`: who sees it with the practitioner, '' if nobody is
    named."""
    return {
        "filming": _("I agree to be filmed, and to watch the film together."),
        "supervisor": _("I agree that my practitioner can show some clips to their supervisor."),
        "peers": _(
            "I agree that my practitioner can show some clips to others in their VIG training "
            "group."
        ),
        "training": _("I agree that some clips can be shown at training events."),
        "copies": _("I agree that our family can keep copies of some clips."),
        "online-review": _("I agree to watch the film together on a video call."),
        "filming-review": _(
            "I agree to be filmed while we watch the clips together, for up to %(length)s. "
            "My practitioner and %(supervisor)s use this film to learn.",
            length=review,
            supervisor=supervisor or _("their supervisor"),
        ),
    }
