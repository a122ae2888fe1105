"""That the service's roster on this kit ends before long: from then on it films nothing."""

from datetime import datetime, timedelta

from appliance.protocol.cards import CardChain
from appliance.records.files import Home
from web_ui.wording.language import _, ngettext
from web_ui.wording.people import roster_here
from web_ui.wording.times import in_words

WARNED_BEFORE = timedelta(days=14)


def roster_ends(home: Home, service: CardChain, now: datetime) -> str:
    """What the page says of it; '' while there is time, and for a service without a roster."""
    roster = roster_here(home, service)
    if roster is None or now < roster.ends - WARNED_BEFORE:
        return ""
    silent, most = (now - roster.at).days, (roster.ends - roster.at).days
    heard = ngettext(
        "This kit has not heard from your service for %(num)s day.",
        "This kit has not heard from your service for %(num)s days.",
        max(silent, 0),
    )
    if roster.is_over(now):
        after = _("It will not film until it has been at base. Take it there and upload.")
    else:
        after = _(
            "After %(most)s days it will not film until it has been at base. Take it "
            "there and upload before %(day)s.",
            most=most,
            day=in_words(roster.ends),
        )
    return f"{heard} {after}"
