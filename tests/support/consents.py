"""What a family agreed to."""

from datetime import datetime, timedelta
from typing import Any

import msgspec

from appliance.casework.consent import Consent, Person
from appliance.records.files import new_id


def consent(people: tuple[Person, ...], at: datetime, **changes: Any) -> Consent:
    """A consent of these people that was recorded then and lasts for thirty days, but for
    `changes`."""
    given = Consent(
        record_id=new_id(),
        privacy_notice="1",
        people=people,
        limit=300,
        valid_until=at + timedelta(days=30),
        retention_period=60,
        language="English",
        interpreter="",
        worries="",
        positive_choice=True,
        given="signed",
        witness="",
        event_time=at,
    )
    return msgspec.structs.replace(given, **changes)
