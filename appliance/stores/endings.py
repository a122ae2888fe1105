"""What ends by itself of the way into a store: a credential, a pin, the store's own certificate.

Each is told before it ends, because only somebody at the kit can replace it.
"""

import ssl
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal
from urllib.parse import parse_qs

SOON = timedelta(days=30)
"""So long before something ends, it is told."""


@dataclass(frozen=True, order=True)
class Ending:
    """One thing that ends, and when."""

    at: datetime
    what: Literal["credential", "pin", "certificate"]
    """`pin`: an authority that vouches for the store. `certificate`: the store's own."""


def of_token(token: str) -> Iterator[Ending]:
    """When a shared access signature ends, where it says so: one with a stored policy does not."""
    for said in parse_qs(token.lstrip("?")).get("se", []):
        with suppress(ValueError):
            at = datetime.fromisoformat(said)
            yield Ending(at if at.tzinfo else at.replace(tzinfo=UTC), "credential")


def of_pin(context: ssl.SSLContext) -> Iterator[Ending]:
    """When the pinned authorities end."""
    for pinned in context.get_ca_certs():
        yield from of_certificate(pinned, "pin")


def of_certificate(
    shown: Mapping[str, Any] | None, what: Literal["pin", "certificate"] = "certificate"
) -> Iterator[Ending]:
    """When a certificate ends, as `ssl` describes it."""
    if shown and "notAfter" in shown:
        seconds = ssl.cert_time_to_seconds(shown["notAfter"])
        yield Ending(datetime.fromtimestamp(seconds, UTC), what)


def soon(endings: Sequence[Ending], now: datetime) -> tuple[Ending, ...]:
    """Those that end before long, the first of each kind, in the order in which they end."""
    first: dict[str, Ending] = {}
    for ending in sorted(endings):
        if ending.at - now < SOON:
            first.setdefault(ending.what, ending)
    return tuple(first.values())
