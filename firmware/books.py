"""What the recorder remembers from one day to the next: who the kit is, whom it obeys, what it did.

    kit/kit.json         public: the kit's id and verifying key
    kit/signing.key      the recorder's secret; it signs and opens nothing
    kit/enrolled.json    the service and the practitioners, each entered by a press
    kit/books.json       films used, permits taken away, recipients first seen, whose cases they
                         are, cases closed
    kit/roster           the service's newest roster, where it has one
    kit/clock-mark.json  the latest time that was certain
    kit/clock-kept.json  what the clock chip counted then, on a kit that has one

Every change is on the card before a method returns.
"""

from contextlib import suppress
from datetime import datetime, timedelta
from typing import Literal, TypeVar

import msgspec

from appliance.age.recipients import parse_recipient
from appliance.errors import BadFile, BadInput, BadSignature
from appliance.protocol.cards import Card, CardChain, KitCard
from appliance.protocol.enrolment import LARGEST_CARD, Enrolled, card_path, read_revocation
from appliance.protocol.objects import revocation_name
from appliance.protocol.orders import MOST_A_DAY, MOST_FILMED_A_DAY
from appliance.protocol.permits import (
    Books,
    EndedCase,
    Joined,
    Permit,
    PressRefusal,
    Renewed,
    ceilings_in_force,
    read_ceilings,
    recipient_digest,
)
from appliance.protocol.requests import Framing
from appliance.protocol.roster import LARGEST, Roster, read_roster
from appliance.records.clock import Correction, Judgement, Kept, Mark, Vouch, raised
from appliance.records.files import (
    Home,
    checked_id,
    is_there,
    load_fact,
    new_id,
    read_text,
    save,
    save_fact,
)
from appliance.records.signing import Signer, Verifier, open_fact

_MARK_STEP = timedelta(minutes=10)
"""How far time goes on before the mark is written again: a card wears."""
_REMEMBERED = 200
"""Permits that are remembered. Older ones are of other boots, for which no permit counts."""
_DAY = timedelta(days=1)
_MOST_ENDED = 200
"""Cases ended that are remembered: far more than anybody ends in a day."""
_FILMS = "/films"
"""After the name of a case that stays open, and of which films were taken back."""
_LARGEST_WORD = 16 * 1024
"""Bytes of a revocation: a name and a time, signed. Ours have less than 400."""
_CLOSED_UNFILMED = 200
"""Closed cases that are remembered though this kit never filmed them: a page that was taken over
could make up any number. One that it did film, which took a press, is never forgotten."""


Word = TypeVar("Word", Correction, Framing, Renewed, Vouch)
"""What a practitioner signs for one kit."""


class KitBooks:
    """The recorder's books. One thread only."""

    def __init__(self, home: Home) -> None:
        """Read them, or begin them on a new kit. Raises BadFile for books that cannot be read."""
        self._home = home
        home.prepare(home.kit)
        self.signer = self._signer()
        self.kit = self.signer.verifier.name.removeprefix("kit-")
        self.enrolled = load_fact(self._home.enrolled, Enrolled)
        self.books = load_fact(self._home.books, Books) or Books()
        self.mark = load_fact(self._home.clock_mark, Mark)
        self.kept = load_fact(self._home.clock_kept, Kept)
        self._roster: Roster | Literal["damaged"] | None
        self._looked: tuple[int, int, int, int]
        self._stands: bool
        self._take_own_roster()

    @property
    def verifiers(self) -> list[Verifier]:
        """Whose word counts here: the practitioners'; nobody's before there is one."""
        return [c.verifying_key() for c in self.enrolled.practitioners] if self.enrolled else []

    def count_film(self, permit: Permit, by: Verifier | None) -> None:
        """One more film under this permit, signed `by` a practitioner of its case; and the case's
        recipient, if it is the first seen."""
        films, people = dict(self.books.films), self.books.people
        films[permit.id] = films.pop(permit.id, 0) + 1
        newest = dict(list(films.items())[-_REMEMBERED:])
        recipients = {permit.case: recipient_digest(permit.recipient)} | self.books.recipients
        if by:
            people = self._with(permit.case, str(by), *permit.people)
        self._change(films=newest, recipients=recipients, people=people)

    def is_of(self, case: str, who: Verifier) -> bool:
        """True if this practitioner works with this family, as far as the kit knows.

        A case that was filmed before that was noted is of the one practitioner who was ever on
        this kit. Where there were several nobody can tell: then it takes the service's word.
        """
        if case in self.books.people or self.enrolled is None:
            return str(who) in self.books.people.get(case, ())
        ever = {c.verifying_key() for c in (*self.enrolled.practitioners, *self.enrolled.former)}
        return ever == {who}

    def let_in(self, note: str) -> str:
        """Note that somebody joined a case, on the word of one of its people; returns the case, ''
        if it is not to be believed."""
        try:
            joined, by = open_fact(note, self.verifiers, Joined)
            checked_id(joined.case)
        except BadInput:
            return ""
        known = joined.kit == self.kit and joined.verifier in map(str, self.verifiers)
        if not known or not self.is_of(joined.case, by):
            return ""
        if joined.verifier not in self.books.people.get(joined.case, ()):
            self._change(people=self._with(joined.case, str(by), joined.verifier))
        return joined.case

    def _with(self, case: str, *who: str) -> dict[str, tuple[str, ...]]:
        """The people of each case, with these of them who are on this kit."""
        keys = set(map(str, self.verifiers))
        known = self.books.people.get(case, ())
        return self.books.people | {case: tuple(dict.fromkeys((*known, *sorted(keys & set(who)))))}

    def disarm(self, permit: str) -> None:
        """This permit was taken away and never counts again."""
        if permit not in self.books.disarmed:
            self._change(disarmed=(*self.books.disarmed, permit)[-_REMEMBERED:])

    def will_close(self, case: str) -> bool:
        """True if `close` would remember this case, and does not yet."""
        closed, filmed = self.books.closed, self.books.recipients
        if case in closed or case in filmed:
            return case not in closed
        return sum(known not in filmed for known in closed) < _CLOSED_UNFILMED

    def close(self, case: str) -> None:
        """Everything of this case was withdrawn: it is never filmed again, whatever the page says
        later. The caller has found that to be so."""
        if self.will_close(case):
            self._change(closed=self.books.closed | {case})

    def may_end(self, case: str, who: Verifier, now: datetime | None, films: bool = False) -> bool:
        """True, and noted, unless this practitioner has ended so many cases within a day, or taken
        `films` of so many back, that the service is asked: its answer to the order, or an order of
        its own, removes what is here. Where the time is in doubt, each that is remembered
        counts."""
        ended = self.books.ended
        if case in ended:
            return True
        lately = [
            name
            for name, one in ended.items()
            if one.by == str(who) and not (one.at and now and abs(now - one.at) > _DAY)
        ]
        name = f"{case}{_FILMS}" if films else case
        if name in lately:
            return True
        others = {one.removesuffix(_FILMS) for one in lately} - {case}
        if len(others) >= (MOST_FILMED_A_DAY if films else MOST_A_DAY):
            return False
        noted = {one: known for one, known in ended.items() if one != name}
        noted[name] = EndedCase(by=str(who), at=now)
        self._change(ended=dict(list(noted.items())[-_MOST_ENDED:]))
        return True

    def may_enrol(self, service: Card, ceilings: str, cards: tuple[str, ...] = ()) -> bool:
        """True if these ceilings (or '', for none) are the service's, and none it took back, by its
        cards as far as they are known here or were brought."""
        try:
            chain = CardChain(service, self._newest_cards(service, cards))
            new = read_ceilings(ceilings, chain) if ceilings else None
            had = self.enrolled is not None and self._ceilings(service) != ""
            old = ceilings_in_force(self.enrolled) if self.enrolled and had else None
        except BadInput:
            return False
        return new is None or old is None or new.since >= old.since

    def enrol(
        self,
        service: Card,
        practitioner: Card,
        ceilings: str = "",
        cards: tuple[str, ...] = (),
    ) -> None:
        """Obey this service and, from now on, this practitioner too.

        Another service begins afresh: nobody whom the old one trusted is trusted any more. Without
        `ceilings` those that the service signed before stay.
        """
        others: tuple[Card, ...] = ()
        former: tuple[Card, ...] = ()
        if self.enrolled is not None and self.enrolled.service == service:
            others = tuple(p for p in self.enrolled.practitioners if p.name != practitioner.name)
            former = tuple(p for p in self.enrolled.former if p != practitioner)
        enrolled = Enrolled(
            service=service,
            practitioners=(*others, practitioner),
            ceilings=ceilings or self._ceilings(service),
            former=former,
            cards=self._newest_cards(service, cards),
        )
        # Obeyed is only what is on the card.
        save_fact(self._home.enrolled, enrolled)
        self.enrolled = enrolled
        # Another service's says nothing here.
        self._take_own_roster()

    def follow(self) -> tuple[int, ...]:
        """Go by the service's next cards, as the inbox has them; returns their numbers."""
        if self.enrolled is None:
            return ()
        before = chain = self.enrolled.chain
        with suppress(BadInput, OSError):
            while True:
                path = card_path(self._home, chain.number + 1)
                chain = chain.followed_by(read_text(path, LARGEST_CARD))
        if chain is not before:
            enrolled = msgspec.structs.replace(self.enrolled, cards=chain.notes)
            save_fact(self._home.enrolled, enrolled)
            self.enrolled = enrolled
            self._take_own_roster()
        return tuple(range(before.number + 1, chain.number + 1))

    def revoke(self) -> tuple[str, ...]:
        """Obey those no more whom the service has revoked, as the inbox says; returns their names.

        What they signed in a case before still counts.
        """
        if self.enrolled is None:
            return ()
        service = self.enrolled.chain
        gone = tuple(c for c in self.enrolled.practitioners if self._is_revoked(c, service))
        if gone:
            enrolled = msgspec.structs.replace(
                self.enrolled,
                practitioners=tuple(c for c in self.enrolled.practitioners if c not in gone),
                former=(*self.enrolled.former, *gone),
            )
            save_fact(self._home.enrolled, enrolled)
            self.enrolled = enrolled
        return tuple(card.name for card in gone)

    def _is_revoked(self, practitioner: Card, service: CardChain) -> bool:
        """True if the inbox has the service's word for it, under their name, or the roster has."""
        left = self._roster.left if isinstance(self._roster, Roster) and self._stands else ()
        if any(one.practitioner == practitioner.name for one in left):
            return True
        with suppress(BadInput, OSError):
            path = self._home.inbox / revocation_name(practitioner.name)
            word = read_revocation(read_text(path, _LARGEST_WORD), service)
            return word.practitioner == practitioner.name
        return False

    def take_roster(self) -> bool:
        """Take in the service's roster from the inbox, if it is newer than the one known, or that
        one was signed with a key that a card has left out; True if it was. An older one never
        counts again."""
        with suppress(BadInput, OSError):
            if self.enrolled is None:
                return False
            there, chain = self._home.roster_there.lstat(), self.enrolled.chain
            seen = there.st_mtime_ns, there.st_ino, there.st_size, chain.number
            if seen == self._looked:
                return False
            # Read once, whatever it is: it may be long, and this is asked each second.
            self._looked = seen
            note = read_text(self._home.roster_there, LARGEST)
            roster = read_roster(note, chain)
            known = self._roster if isinstance(self._roster, Roster) and self._stands else None
            if known and roster.number <= known.number:
                return False
            # Where there is no room now, it is tried again.
            self._looked = (0, 0, 0, 0)
            save(self._home.roster, note.encode())
            self._roster, self._stands, self._looked = roster, True, seen
            return True
        return False

    def away(self, now: datetime | None) -> PressRefusal | None:
        """Why a kit films nothing of which its service has heard nothing for too long, or that it
        has written down as lost; None for a service without a roster."""
        if self._roster is None:
            return None
        if self._roster == "damaged" or now is None or self._roster.is_over(now):
            return PressRefusal.ROSTER_OVER
        lost = any(kit.card.id == self.kit and kit.lost for kit in self._roster.kits)
        return PressRefusal.KIT_LOST if lost else None

    def _take_own_roster(self) -> None:
        """Know the roster on the card for what it is by the cards that are followed now."""
        self._roster = self._own_roster()
        self._looked = (0, 0, 0, 0)
        self._stands = False
        if isinstance(self._roster, Roster) and self.enrolled is not None:
            # One that a stolen key signed never counted; only its end stays, until the next.
            with suppress(BadInput, OSError):
                read_roster(read_text(self._home.roster, LARGEST), self.enrolled.chain)
                self._stands = True

    def _own_roster(self) -> Roster | Literal["damaged"] | None:
        """The one taken in last; None where there is none of this service."""
        if self.enrolled is None or not is_there(self._home.roster):
            return None
        try:
            note = read_text(self._home.roster, LARGEST)
            return read_roster(note, self.enrolled.chain, before=True)
        except BadSignature:
            return None
        except (BadInput, OSError):
            return "damaged"

    def word(self, note: str, kind: type[Word]) -> tuple[Word, str] | None:
        """What an enrolled practitioner has signed for this kit, and who it was; None if it was
        nobody, or is of another kind."""
        try:
            said, by = open_fact(note, self.verifiers, kind)
        except BadInput:
            return None
        return (said, by.name) if said.kit == self.kit else None

    def read_renewed(self, note: str) -> Renewed | None:
        """The new key of a case, as an enrolled practitioner signed it; None if it is not."""
        said = self.word(note, Renewed)
        if said is None:
            return None
        renewed, _ = said
        try:
            checked_id(renewed.case)
            kind = parse_recipient(renewed.recipient).kind
        except BadInput:
            return None
        service = self.enrolled.service if self.enrolled else None
        return renewed if service and service.sealing_key().kind == kind else None

    def renew(self, renewed: Renewed) -> None:
        """Seal this case's films to its new key from now on."""
        recipient = {renewed.case: recipient_digest(renewed.recipient)}
        self._change(recipients=self.books.recipients | recipient)

    def keep_chip(self, judgement: Judgement, chip: int | None) -> None:
        """Remember what the clock chip counts at this trusted time, for the next boot."""
        if judgement.now is not None and chip is not None:
            kept = Kept(chip=chip, time=judgement.now)
            save_fact(self._home.clock_kept, kept)
            self.kept = kept

    def note_time(self, judgement: Judgement) -> bool:
        """Raise the clock mark where trusted time has gone on far enough; True if it did."""
        mark = raised(self.mark, judgement)
        if mark is None or (self.mark and mark.highest - self.mark.highest < _MARK_STEP):
            return False
        save_fact(self._home.clock_mark, mark)
        self.mark = mark
        return True

    def correct_time(self, judgement: Judgement) -> None:
        """Put the clock mark where the time is now, back or on; somebody has pressed for it."""
        if judgement.now is not None:
            mark = Mark(highest=judgement.now)
            save_fact(self._home.clock_mark, mark)
            self.mark = mark

    def _ceilings(self, service: Card) -> str:
        """What is in force of this service's."""
        if self.enrolled is None or self.enrolled.service != service:
            return ""
        return self.enrolled.ceilings

    def _newest_cards(self, service: Card, brought: tuple[str, ...]) -> tuple[str, ...]:
        """The cards of this service after its first: those that were brought, where they go on from
        what is known here, and otherwise these. Never fewer."""
        known: tuple[str, ...] = ()
        if self.enrolled is not None and self.enrolled.service == service:
            known = self.enrolled.cards
        return brought if brought[: len(known)] == known else known

    def _change(self, **fields: object) -> None:
        books = msgspec.structs.replace(self.books, **fields)
        save_fact(self._home.books, books)
        self.books = books

    def _signer(self) -> Signer:
        secret, public = self._home.signing_key, self._home.kit_card
        card = load_fact(public, KitCard)
        try:
            signer = Signer.parse(read_text(secret))
        except FileNotFoundError:
            if card is not None:
                raise BadFile(
                    "This kit has lost its signing key.",
                    "Its films can still be opened. Set it up anew, with another home.",
                ) from None
            signer = Signer.generate(f"kit-{new_id()}")
            save(secret, f"{signer.secret_text()}\n".encode(), mode=0o600)
        own = KitCard(id=signer.verifier.name.removeprefix("kit-"), verifier=str(signer.verifier))
        if card is None:
            save_fact(public, own)
        elif card != own:
            raise BadFile(
                "This kit's signing key and its public card do not belong together.",
                "Restore both from the same copy, or set the kit up anew, with another home.",
            )
        return signer
