"""What to send next. Pure: what is here and what was confirmed go in, an ordered list comes out."""

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from enum import IntEnum

from appliance.protocol.names import is_beside
from appliance.protocol.receipts import Receipt

Reads = Callable[[str], object]


class Rank(IntEnum):
    """The smallest valuable thing first: a line that drops should have carried what matters most.

    A withdrawal before all else; then what opens films, and whose word counts for them; then what
    proves them, then the films.
    """

    ORDER = 0
    CASE_KEY = 1
    TEAM = 2
    KEEP = 3
    """Before the kit's heads: who has heard of a kit takes it to have said of the days what it
    knows."""
    KIT = 4
    MANIFEST = 5
    DOCUMENT = 6
    CLIP = 7
    FILM = 8


@dataclass(frozen=True, slots=True)
class Sealed:
    """One file that may go: where it lies in the home, and its name at the service."""

    object: str
    path: str
    size: int
    rank: Rank
    case: str = ""
    """The case it belongs to; '' for the kit's own card."""
    sha256: str = ""
    """What a signed manifest says it is, '' where nothing does."""
    place: str = ""
    """Its order among its equals, before size and name; a film's parts go together."""
    fact: Reads | None = None
    """What reads it, where it is a public fact, strictly and at the moment of sending: raises
    BadInput for what is another, or more. None where it is sealed."""

    @property
    def may_lie_beside(self) -> bool:
        """True for what two homes may each have made under one name, of a case that both have or as
        copies of one card: it goes beside what is there. A film is only ever one."""
        place = self.object.split("/")
        if place[0] == "cases":
            return place[2] not in ("recordings", "imports")
        return place[0] == "kits" and place[2] == "heads"


def plan(
    here: Iterable[Sealed],
    receipt: Callable[[str], Receipt | None],
    store: str,
    closed: Collection[str] = frozenset(),
) -> list[Sealed]:
    """What is to be sent to `store`, in order.

    Of a case in `closed`, withdrawn here or said to be, its order goes and nothing else. A receipt
    counts for the store that it names and the size that it names: anything else is sent again, and
    what the store then holds is compared.
    """
    waiting = [
        sealed
        for sealed in here
        if (sealed.rank is Rank.ORDER or sealed.case not in closed)
        and not confirmed(sealed, receipt(sealed.object), store)
    ]
    return sorted(waiting, key=lambda s: (s.rank, s.place, s.size, s.object))


def confirmed(sealed: Sealed, receipt: Receipt | None, store: str) -> bool:
    """True if this receipt says that `store` holds what is here."""
    return (
        receipt is not None
        and (receipt.size, receipt.store) == (sealed.size, store)
        and (receipt.object == sealed.object or is_beside(receipt.object, sealed.object))
        and (not sealed.sha256 or receipt.sha256 == sealed.sha256)
    )


@dataclass
class Pace:
    """How long to wait so that no more than so many bytes a second go, on average. A file that has
    begun goes as fast as the line is."""

    bytes_per_second: float
    """0 for as fast as can be."""
    _free: float = float("-inf")

    def wait(self, size: int, now: float) -> float:
        """Seconds to wait at `now` (monotonic) before `size` bytes may go; they count as gone."""
        if not self.bytes_per_second:
            return 0.0
        start = max(now, self._free)
        self._free = start + size / self.bytes_per_second
        return start - now
