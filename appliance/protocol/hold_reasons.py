"""Why a hold was placed: who decided it, by their office, and the reason. For the service alone.

It is signed by whoever signed the hold, and sealed: the hold beside it is public.

    holds/<case>/why-<hold>.age          at the store; `-anew`: the same while it is sealed anew
    cases/<case>/holds/why-<hold>.age    the same on the kit where it was placed
"""

import re

from appliance.age.sealing import seal
from appliance.protocol.cards import CardChain
from appliance.protocol.objects import hold_object
from appliance.records.files import ID, Fact
from appliance.records.signing import Signer, sign_fact

WHY_NAME = re.compile(r"why-(?P<hold>[0-9a-f]{16})(?P<anew>-anew)?\.age")
WHY_OBJECT = re.compile(rf"holds/(?P<case>{ID.pattern})/{WHY_NAME.pattern}")


class HoldReason(Fact, frozen=True, kw_only=True, tag="hold-reason/v1"):
    """Signed, and sealed to the service."""

    case: str
    hold: str
    """The name of the hold (`orders.hold_name`)."""
    role: str
    reason: str


def why_name(hold: str, anew: bool = False) -> str:
    """What the reason for a hold of this name is called."""
    return f"why-{hold}{'-anew' if anew else ''}.age"


def why_object(case: str, hold: str, anew: bool = False) -> str:
    """Where it lies at the store. Raises BadFile for what is no case's id."""
    return hold_object(case, why_name(hold, anew))


def sealed_reason(signer: Signer, service: CardChain, reason: HoldReason) -> bytes:
    """The reason as it travels."""
    return seal(sign_fact(signer, reason).encode(), service.recipients())
