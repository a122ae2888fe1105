"""Carrying out what was asked for, at the store: to the end, whatever is cut between.

What the ledger holds comes first: what was removed stays removed, and what was signed is there,
whichever copy of the store this is. Then what is new, each order by itself. For each: see whose
word it is; write in the ledger that it counts; write down what there is to remove; remove it; write
down the answer; and only then put it, a signed tombstone, where kits look. The films themselves
stay: without a key they are closed to everybody, the service included. Of a single film that was
taken back, whose case stays open, the sealed files themselves are removed. Under a hold a case is
closed, and its keys wait; so does a film. What was shared with somebody goes on the day that its
order names.

The service may order a withdrawal itself: a family may have called it, not its practitioner.
"""

import random
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Literal, TypeVar

from appliance.base import refusals
from appliance.base.holds import Holds
from appliance.base.keeping.days import DAYS, days_there
from appliance.base.keeping.retention import learn, purge_again
from appliance.base.ledger import LEDGER, Kind, Ledger, Line, Standing
from appliance.base.orders import place_order, put, put_note, read_or_none
from appliance.base.voices import Asked, Voices, Waits, parse_order
from appliance.errors import BadInput, SendFailed, SendInterrupted, SendRefused
from appliance.protocol.enrolment import Revocation
from appliance.protocol.objects import (
    SERVICE_CARD,
    case_object,
    order_object,
    revocation_object,
    service_order_object,
    tombstone_object,
)
from appliance.protocol.orders import (
    FilmWithdrawal,
    ServiceOrder,
    ShareEnd,
    Tombstone,
    Withdrawal,
)
from appliance.records.clock import Clock
from appliance.records.files import ID, Fact, checked_id, new_id
from appliance.records.signing import fact_in, sign_fact, split_note
from appliance.stores.store import ServiceStore, read_small
from appliance.vault.keys import PrivateKeys

_F = TypeVar("_F", bound=Fact)
State = Literal["done", "done-before", "held", "waits", "asks", "declined", "refused", "failed"]

_LOOKED_AT_AGAIN = 6
"""Finished orders and words for kits that a round looks at again; fewer where there are thousands
of orders."""
_CHANCE = random.SystemRandom()
"""What is looked at again: this program may be started anew for each round."""
_PAGE = 1000
"""Names that an engine lists in one answer."""


@dataclass(frozen=True)
class Outcome:
    """What became of one order."""

    order: str
    state: State
    """`waits`: the day on which it is to be done has not come. `asks`: it waits for the service's
    yes. `declined`: it got a no. `failed`: it could not be carried out now, and is tried again."""
    case: str = ""
    removed: tuple[str, ...] = ()
    """Key files, or sealed files of a film, removed in this run."""
    film: str = ""
    share: str = ""
    """What was shared of the case with somebody, where the order is about that alone."""
    code: str = ""
    why: str = ""
    """A sentence, where it was not carried out."""
    kit: str = ""
    """The kit that an order names which waits for the service's yes."""


class _Begun(Fact, frozen=True, kw_only=True, tag="begun/v1"):
    """What a version without a ledger put at the store before it removed something."""

    order: str
    names: tuple[str, ...]


class Desk:
    """The service's store, its keys and its ledger, and those whose word counts.

    The ledger is held (`Ledger.at_work`) by whoever calls.
    """

    def __init__(
        self, store: ServiceStore, keys: PrivateKeys, voices: Voices, ledger: Ledger, clock: Clock
    ) -> None:
        self._store = store
        self._keys = keys
        self._signer = keys.signer
        self._voices = voices
        self._ledger = ledger
        self._clock = clock
        self.holds = Holds(store, voices, ledger)
        self._mended: list[Outcome] | None = None
        self._told = 0
        self._may_tell = True

    def mend(self) -> list[Outcome]:
        """Do again whatever this store does not know of: it may be a copy from before. Once for
        each desk, before anything else. Raises SendInterrupted, SendRefused; BadFile where the
        ledger is not the one that the store was told of."""
        if self._mended is None:
            standing = self._ledger.standing(self._store)
            self._told = self._ledger.length if standing is Standing.SAME else 0
            if not self._ledger.length:
                self.learn()
            self._mended = self._again_all() if standing is Standing.BEHIND else []
            # What could not be done again is tried in the next round, with all the rest.
            self._may_tell = all(outcome.state != "failed" for outcome in self._mended)
            self.tell_how_far()
        return self._mended

    def mend_all(self) -> list[Outcome]:
        """The same, however far the store was told: it may have lost what it knew."""
        return self._again_all()

    def begin_anew(self) -> None:
        """Take up what the store shows, where no copy of the ledger is left, and go on from
        there."""
        self.learn()
        self._mended, self._told = self._again_all(), -1
        self.tell_how_far()

    def tell_how_far(self) -> None:
        """Put at the store how far the ledger has come: by that, a copy of it is known."""
        if self._may_tell and self._ledger.length != self._told:
            put(self._store, self._signer, LEDGER, self._ledger.head)
            self._told = self._ledger.length

    def work(self) -> list[Outcome]:
        """Carry out everything that is asked for. Raises as `mend` does."""
        found = {outcome.order: outcome for outcome in self.mend()}
        # Before the holds are: a kit sends a hold first, and an order under it after.
        names = [entry.name.removeprefix("orders/") for entry in self._store.list("orders/")]
        self.holds.hear()
        if not found:
            found = {outcome.order: outcome for outcome in self._some_again(len(names))}
        answered = self._ledger.of("answered")
        names += sorted(self._kept().keys() - set(names))
        for name in names:
            line = answered.get(name)
            waited = line is not None and line.ids["held"] == "base"
            if line is None or (waited and not self.holds.on(line.ids["case"])):
                found[name] = self._by_itself(name, self._new)
            elif name not in found:
                found[name] = _before(name, line)
        self.tell_how_far()
        for name, error in self.holds.refused:
            found[name] = Outcome(name, "refused", code=error.code, why=error.sentence)
        return [outcome for outcome in found.values() if outcome.state != "waits"]

    def look_at(self, name: str) -> Outcome | None:
        """What becomes of one order; None where there is none, or it was answered or refused.
        Raises as `mend` does, and BadInput for what is no order's name."""
        if name in self._ledger.of("answered"):
            return None
        if read_or_none(self._store, order_object(name)) is None:
            return None
        self.holds.hear()
        return self._by_itself(name, self._new)

    def withdraw_case(self, case: str) -> str:
        """Order the withdrawal of a whole case in the service's own name; `work` carries it out,
        and every kit learns of it from the tombstone. Returns the order's id."""
        now = self._clock.read().wall
        order = Withdrawal(id=new_id(), case=checked_id(case), kit="", at=now)
        put(self._store, self._signer, order_object(order.id), order)
        return order.id

    def withdraw_film(self, kit: str, case: str, film: str) -> str:
        """Order a kit to take a film back, and the copies at this store to be removed by `work`.
        Returns the id of the latter. Raises BadInput under a hold."""
        now = self._clock.read().wall
        checked_id(case), checked_id(film)
        self.holds.hear()
        if self.holds.on(case, film):
            raise BadInput(
                f"There is a hold on film {film} of case {case}: nothing of it may be removed.",
                "When the hold is over, lift it: hold CASE --lift",
            )
        place_order(
            self._store,
            self._keys,
            self._ledger,
            kit,
            lambda n: ServiceOrder(number=n, kit=kit, case=case, film=film, at=now),
        )
        # The moments that an order which waits for this yes names go as well.
        clips = self._clips_waiting(case, film)
        own = FilmWithdrawal(id=new_id(), case=case, kit=kit, film=film, clips=clips, at=now)
        put(self._store, self._signer, order_object(own.id), own)
        return own.id

    def learn(self) -> None:
        """Write down what this store shows that was signed here before there was a ledger, or since
        the copy of it that is left."""
        lines: list[tuple[Kind, dict[str, str]]] = []
        for entry in self._store.list("tombstones/"):
            note = (read_or_none(self._store, entry.name) or b"").decode(errors="replace")
            answer = self._signed(note, Tombstone)
            if answer is None or answer.order in self._ledger.of("answered"):
                continue
            asked = read_or_none(self._store, order_object(checked_id(answer.order))) or b""
            held = "order" if answer.held else ""
            lines.append(
                ("answered", _answered(answer, asked.decode(errors="replace"), note, held))
            )
        for entry in self._store.list("revoked/"):
            name = entry.name.removeprefix("revoked/")
            note = (read_or_none(self._store, entry.name) or b"").decode(errors="replace")
            if name not in self._ledger.of("revoked") and self._signed(note, Revocation):
                lines.append(("revoked", {"name": name, "note": note}))
        for entry in self._store.list("begun/"):
            # Where a version without a ledger was cut short.
            begun = self._signed(
                (read_or_none(self._store, entry.name) or b"").decode(errors="replace"), _Begun
            )
            if begun is not None:
                lines.append(("accepted", {"name": begun.order, **self._about(begun.order)}))
                lines.append(("begun", {"name": begun.order, "names": "\n".join(begun.names)}))
        lines += [
            ("emptied", {"name": case, "note": note})
            for case, note in learn(self._store, self._keys.chain)
        ]
        lines += [
            ("declined", line)
            for line in refusals.learn(self._store, self._keys.chain, self._ledger)
        ]
        days = days_there(self._store, self._keys.chain)
        if days and not self._ledger.of("setting"):
            lines.append(("setting", {"name": DAYS, "note": days}))
        self._ledger.write_all(lines)

    def _about(self, name: str) -> dict[str, str]:
        """What an order at the store is about, and who signed it. Of one that cannot be read: no
        case, so that it says yes to none, and is judged once it can be."""
        with suppress(BadInput):
            note = read_or_none(self._store, order_object(checked_id(name)))
            order, by = self._voices.order(name, note)
            if not isinstance(order, ShareEnd):
                return {"case": order.case, "film": _film(order), "by": by}
        return {"case": "", "film": "", "by": self._signer.verifier.name}

    # --- Each by itself -----------------------------------------------------------------------

    def _by_itself(self, name: str, work: Callable[[str], Outcome]) -> Outcome:
        """What is wrong with one order must not keep another. Raises what ends them all."""
        try:
            return work(name)
        except BadInput as error:
            return Outcome(name, "refused", code=error.code, why=error.sentence)
        except SendFailed as error:
            # The store as a whole, or something of this order alone?
            if read_small(self._store, SERVICE_CARD) is None:
                raise
            why = f"{error.sentence} {error.hint}".strip()
            return Outcome(name, "failed", code=error.code, why=why)

    def _again_all(self) -> list[Outcome]:
        """Do again everything that the ledger knows of."""
        for where, note in self._for_kits().items():
            self._keep(where, note)
        self.holds.put_back()
        purge_again(self._store, self._ledger)
        return [self._by_itself(name, self._again) for name in sorted(self._ledger.of("answered"))]

    def _for_kits(self) -> dict[str, bytes]:
        """What kits are to hear of, by where it lies: revocations, what was refused, and orders of
        their own. And what the service has set."""
        told = {
            where: line.ids["note"].encode() for where, line in self._ledger.of("setting").items()
        }
        told |= refusals.told(self._ledger)
        for name, line in self._ledger.of("revoked").items():
            told[revocation_object(name)] = line.ids["note"].encode()
        for name, line in self._ledger.of("ordered").items():
            kit, _, number = name.partition("/")
            told[service_order_object(kit, int(number))] = line.ids["note"].encode()
        return told

    def _keep(self, where: str, note: bytes) -> None:
        if read_or_none(self._store, where) != note:
            self._put(where, note)

    def _some_again(self, orders: int) -> list[Outcome]:
        """Look at a little of what is finished: orders that were carried out, and words for kits.
        Less where there are so many `orders` that to list them takes many requests."""
        told, answered = self._for_kits(), self._ledger.of("answered")
        every = [*answered, *told]
        most = min(len(every), max(1, _LOOKED_AT_AGAIN - orders // _PAGE))
        found = []
        for one in _CHANCE.sample(every, most):
            if one in answered:
                found.append(self._by_itself(one, self._again))
            else:
                with suppress(SendRefused):  # One that cannot be put keeps no order.
                    self._keep(one, told[one])
        return found

    def _again(self, name: str) -> Outcome:
        """Remove once more what was removed for an order: a restored store, or a kit that was
        restored, may have brought it back. And see that its answer is there."""
        line = self._ledger.of("answered")[name]
        case, asked = line.ids["case"], line.ids["asked"]
        where = tombstone_object(case if line.ids["whole"] else name)
        answer = line.ids["answer"].encode()
        if line.ids["held"] and self._closed(case):
            return _before(name, line)
        if line.ids["whole"]:
            removed = self._purge(_of_case(case, line.ids["held"]))
        elif asked:
            removed = self._purge(self._prefixes(_part(asked)))
        else:
            removed = self._purge(fact_in(line.ids["answer"], Tombstone).removed)
        if removed:
            self._ledger.write("removed-again", name, names="\n".join(removed))
        stands = not line.ids["whole"] or self._ledger.closing(case) is line
        if stands and read_or_none(self._store, where) != answer:
            self._put(where, answer)
        before = _before(name, line)
        if not removed:
            return before
        return Outcome(name, "done", case, removed, film=before.film, share=before.share)

    def _kept(self) -> dict[str, str]:
        """The service's own orders that counted and were not carried out: the store may have lost
        them since, and nobody sends them again."""
        return {
            name: line.ids["note"]
            for name, line in self._ledger.of("accepted").items()
            if line.ids.get("note") and name not in self._ledger.of("answered")
        }

    def _new(self, name: str) -> Outcome:
        if declined := self._declined(name):
            return declined
        note = read_or_none(self._store, order_object(name))
        if note is None and (kept := self._kept().get(name)):
            note = kept.encode()
            self._put(order_object(name), note)
        order, by = self._voices.order(name, note)
        text = (note or b"").decode()
        if isinstance(order, ShareEnd):
            return self._share(order, text)
        asks = self._asks(order, by, text)
        if asks:
            kit = order.kit if ID.fullmatch(order.kit) else ""
            found = Outcome(name, "asks", order.case, film=_film(order), kit=kit)
            return replace(found, code=Waits.code, why=asks)
        if isinstance(order, FilmWithdrawal):
            return self._film(order, text)
        return self._case(order, text)

    def _declined(self, name: str) -> Outcome | None:
        """What became of an order that the service has refused; None where it has not, or has said
        yes since: it has ordered as much itself, or closed the case."""
        line = self._ledger.of("declined").get(name)
        if line is None or self._closed(line.ids["case"]):
            return None
        film = ""
        with suppress(BadInput):
            order = parse_order(split_note(line.ids["asked"])[0])
            film = _film(order)
            if not isinstance(order, ShareEnd) and self._said_yes(order):
                return None
        return Outcome(name, "declined", line.ids["case"], film=film)

    def _asks(self, order: Withdrawal | FilmWithdrawal, by: str, text: str) -> str:
        """Why an order waits for the service's yes, '' if it counts. Once there were too many of a
        day, another day makes no yes of it; a list of the case's people may still be on its way."""
        ids = {"case": order.case, "film": _film(order), "by": by}
        # Another order may have been put in place of one that counted.
        accepted = self._ledger.of("accepted").get(order.id)
        same = accepted is not None and ids.items() <= accepted.ids.items()
        if same or self._closed(order.case):
            return ""
        kept = {"note": text} if self._voices.is_service(by) else {}
        if self._said_yes(order):
            self._ledger.write("accepted", order.id, **ids, **kept)
            return ""
        waited = self._ledger.of("waits").get(order.id)
        if waited is not None and _were_many(waited):
            return waited.ids["why"]
        try:
            self._voices.check(order, by)
            many = self._voices.many(order, by, self._clock)
        except Waits as error:
            many, why = "", error.sentence
        else:
            why = many
        if not why:
            self._ledger.write("accepted", order.id, **ids, **kept)
        elif waited is None or waited.ids["why"] != why:
            self._ledger.write("waits", order.id, **ids, why=why, many="yes" if many else "")
        return why

    def _said_yes(self, order: Withdrawal | FilmWithdrawal) -> bool:
        """True if the service has ordered as much itself, and so said yes to this."""
        for name, line in self._ledger.of("accepted").items():
            # An early version wrote down no case of what it found begun.
            if line.ids.get("case") != order.case or not self._voices.is_service(line.ids["by"]):
                continue
            if not line.ids["film"]:
                return True
            if line.ids["film"] == _film(order) and isinstance(order, FilmWithdrawal):
                asked = self._ledger.of("answered").get(name)
                own = _part(asked.ids["asked"]) if asked and asked.ids["asked"] else None
                if isinstance(own, FilmWithdrawal) and set(order.clips) <= set(own.clips):
                    return True
        return False

    def _case(self, order: Withdrawal, note: str) -> Outcome:
        # What was shared are copies: sharing ends at once, a hold or not.
        self._purge([case_object(order.case, "shares")])
        held = "order" if order.held else "base" if self.holds.on(order.case) else ""
        if held:
            if order.id not in self._ledger.of("answered"):
                self._answer(order, note, (), held)
            return Outcome(order.id, "held", order.case)
        before = self._closed(order.case)
        keys = [case_object(order.case, "identity-")]
        self._begin(order, keys)
        removed = self._purge(keys)
        if any(self._store.list(keys[0])):
            raise SendInterrupted(
                f"A key of case {order.case} came back while it was being removed.",
                "A kit may be sending just now. It is removed again with the next try.",
            )
        self._answer(order, note, self._begun(order))
        self.holds.forget_reasons(order.case)
        return Outcome(
            order.id, "done-before" if before and not removed else "done", order.case, removed
        )

    def _film(self, order: FilmWithdrawal, note: str) -> Outcome:
        """Remove what the store holds of one film, and of the moments that were cut from it."""
        if self.holds.on(order.case, order.film):
            return Outcome(order.id, "held", order.case, film=order.film)
        shares = self._shares_with(order.case, order.film)
        prefixes = [
            *self._prefixes(order),
            *(case_object(order.case, f"shares/{share}") for share in sorted(shares)),
        ]
        self._begin(order, prefixes)
        removed = self._purge(prefixes)
        self._answer(order, note, self._begun(order))
        return Outcome(order.id, "done", order.case, removed, order.film)

    def _share(self, order: ShareEnd, note: str) -> Outcome:
        """Remove what was shared with somebody, once its day has come."""
        if self._clock.read().wall < order.at:
            return Outcome(order.id, "waits", order.case, share=order.share)
        removed = self._purge(self._prefixes(order))
        self._answer(order, note, removed)
        return Outcome(order.id, "done", order.case, removed, share=order.share)

    # --- Steps --------------------------------------------------------------------------------

    def _prefixes(self, order: FilmWithdrawal | ShareEnd) -> list[str]:
        """What is removed for an order, by the beginning of its name. A folder goes whole, and so
        does whatever somebody put in its place."""
        case = order.case
        if isinstance(order, ShareEnd):
            return [case_object(case, f"shares/{order.share}")]
        film = order.film
        return [
            *(
                case_object(case, f"{folder}/{film}")
                for folder in ("recordings", "imports", "derived")
            ),
            *(case_object(case, f"clips/{clip}") for clip in order.clips),
            *(case_object(case, f"documents/clip-{clip}-") for clip in order.clips),
            *(case_object(case, f"documents/still-{clip}-") for clip in order.clips),
        ]

    def _purge(self, prefixes: Sequence[str]) -> tuple[str, ...]:
        return tuple(sorted({name for prefix in prefixes for name in self._store.purge(prefix)}))

    def _put(self, where: str, note: bytes) -> None:
        """Put what was signed in place of whatever lies there, and remember what made way."""
        gone = put_note(self._store, where, note)
        if gone:
            self._ledger.write("purged", where, names="\n".join(gone))

    def _begin(self, order: Withdrawal | FilmWithdrawal, prefixes: Sequence[str]) -> None:
        """Write down what is about to be removed: a cut must not make us forget that it was."""
        names = {entry.name for prefix in prefixes for entry in self._store.list(prefix)}
        if names - set(self._begun(order)):
            every = "\n".join(sorted(names | set(self._begun(order))))
            self._ledger.write("begun", order.id, names=every)

    def _begun(self, order: Withdrawal | FilmWithdrawal) -> tuple[str, ...]:
        """What was removed for an order, in this run and in those that were cut."""
        line = self._ledger.of("begun").get(order.id)
        return tuple(line.ids["names"].split("\n")) if line else ()

    def _answer(self, order: Asked, asked: str, removed: tuple[str, ...], held: str = "") -> None:
        whole = isinstance(order, Withdrawal)
        told = Tombstone(
            order=order.id,
            case=order.case,
            at=self._clock.read().wall,
            removed=removed,
            whole=whole,
            held=bool(held),
        )
        answer = sign_fact(self._signer, told)
        closed = self._closed(order.case) if whole else None
        if closed is not None:
            # Another kit was quicker; what it was answered stands.
            answer = closed.ids["answer"]
        self._ledger.write_all([("answered", _answered(told, asked, answer, held, order))])
        if closed is None:
            where = tombstone_object(order.case if whole else order.id)
            self._put(where, answer.encode())

    def _closed(self, case: str) -> Line | None:
        """The line by which a case was withdrawn for good; None while it was not."""
        line = self._ledger.closing(case)
        return line if line is not None and not line.ids["held"] else None

    def _shares_with(self, case: str, film: str) -> set[str]:
        """What was shared of a film and has not ended."""
        found = set()
        for entry in self._store.list("orders/"):
            name = entry.name.removeprefix("orders/")
            if name in self._ledger.of("answered"):
                continue
            try:
                order, _by = self._voices.order(name, read_or_none(self._store, entry.name))
            except BadInput:
                continue
            if isinstance(order, ShareEnd) and order.case == case and film in order.films:
                found.add(order.share)
        return found

    def _clips_waiting(self, case: str, film: str) -> tuple[str, ...]:
        """The moments that orders name which wait for the service's yes to this film. Only who
        works with the family, or has, knows what was cut from it: anybody may name another's."""
        clips: set[str] = set()
        known = self._voices.people_of(case)
        for name, line in self._ledger.of("waits").items():
            if (line.ids["case"], line.ids["film"]) == (case, film):
                with suppress(BadInput):
                    note = read_or_none(self._store, order_object(name))
                    order, by = self._voices.order(name, note)
                    if isinstance(order, FilmWithdrawal) and by in known:
                        clips.update(order.clips)
        return tuple(sorted(clips))

    def _signed(self, note: str, kind: type[_F]) -> _F | None:
        """What this service has signed. What is no answer of ours counts as nothing."""
        try:
            return self._keys.chain.word(note, kind)
        except BadInput:
            return None


def _answered(
    told: Tombstone, asked: str, answer: str, held: str = "", order: Asked | None = None
) -> dict[str, str]:
    if order is None:
        try:
            order = parse_order(split_note(asked)[0])
        except BadInput:
            asked = ""
    return {
        "name": told.order if order is None else order.id,
        "case": told.case,
        "film": _film(order) if order else "",
        "share": order.share if isinstance(order, ShareEnd) else "",
        "whole": "yes" if told.whole else "",
        "held": held,
        "asked": asked,
        "answer": answer,
    }


def _were_many(waited: Line) -> bool:
    """True if an order waits because there were so many of a day. An early version wrote that down
    in words alone."""
    many = waited.ids.get("many")
    return bool(many) if many is not None else waited.ids["why"].endswith(" a day already.")


def _part(asked: str) -> FilmWithdrawal | ShareEnd:
    order = parse_order(split_note(asked)[0])
    assert not isinstance(order, Withdrawal), "a withdrawal is of a whole case"
    return order


def _film(order: Asked) -> str:
    """The film that is taken back, '' for a whole case."""
    return order.film if isinstance(order, FilmWithdrawal) else ""


def _of_case(case: str, held: str) -> list[str]:
    """What is removed of a whole case, by the beginning of its name."""
    shares = case_object(case, "shares")
    return [shares] if held else [case_object(case, "identity-"), shares]


def _before(name: str, line: Line) -> Outcome:
    ids = line.ids
    state: State = "held" if ids["held"] else "done-before"
    return Outcome(name, state, ids["case"], film=ids["film"], share=ids["share"])
