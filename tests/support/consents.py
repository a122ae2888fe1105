"""What a family agreed to."""

from datetime import datetime, timedelta
from typing import Any

import msgspec

from appliance.casework.consent import Consent, Person, Purpose
from appliance.records.files import new_id


def person(name: str, *purposes: Purpose) -> Person:
    """A parent who agrees to this."""
    return Person(
        pii_principal_id=new_id(),
        name=name,
        relation="parent",
        speaks_as="adult",
        on_behalf_of="Robin",
        authority="parent",
        purposes=purposes,
    )


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
