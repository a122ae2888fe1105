"""What a service does seldom, in the sequences of `tests.support.sequences`: courses that end and
what is removed after, a new card and what was sealed to the old one, a kit that goes to other
hands, and a base somewhere else that has the lease."""

from contextlib import closing

from appliance import factory_reset
from appliance.base.cases import every_case
from appliance.base.custody import anew
from appliance.base.custody.keys import keep_card
from appliance.base.custody.next import Change, next_card
from appliance.base.keeping.auditing import sign_audit
from appliance.base.keeping.restoring import Restorer
from appliance.base.keeping.retention import REMOVED, Retention, purge
from appliance.base.orders import order_reset
from appliance.base.status import SILENT
from appliance.base.voices import Waits
from appliance.casework.course import Course, Standing, course_of, end
from appliance.casework.retention import tell_the_day, warn
from appliance.errors import AnotherBase
from appliance.protocol.cards import KitCard
from appliance.protocol.case_record import held
from appliance.protocol.orders import Reset
from firmware.books import KitBooks
from tests.support.sequences import (
    DAY,
    MOST_CARDS,
    PEOPLE,
    Act,
    Base,
    Desk,
    Kit,
    Ledger,
    ServiceStore,
    Shelf,
    World,
    later_keys,
    names_below,
    people,
    people_at,
    service,
)

KEPT_DAYS = 2
"""So long films stay after a course, and then again until base removes them."""


class Service(World):
    """A world in which all of it happens."""

    # --- Time goes by -------------------------------------------------------------------------

    def end_course(self) -> Act | None:
        """The work with a family ends; every film was looked at together, and the page warned."""
        kit, case = self._open_case()
        if case is None or course_of(case).ended is not None or held(case.directory):
            return None
        now = self.clock.read().wall

        def act() -> None:
            end(case, now, "", KEPT_DAYS)
            warn(case, now)
            course: Course = course_of(case)
            tell_the_day(case, kit.id, Standing(course, 1, 1, 0, None), held=False, now=now)

        return act

    def days_pass(self) -> Act | None:
        self.clock.advance(self.dice.randint(2, 12) * DAY.total_seconds())
        return lambda: None

    def retention(self) -> Act | None:
        self.clock.advance(self.dice.choice((0, 0, 3)) * DAY.total_seconds())

        def act() -> None:
            with self.base.at_work() as (store, desk, ledger):
                desk.holds.hear()
                found = [one.case for one in self._kept(store, desk, ledger).cases()]
            for case in found:
                with self.base.at_work(1) as (store, desk, ledger):
                    desk.holds.hear()
                    self._remove(store, desk, ledger, case)

        return act

    def _kept(self, store: ServiceStore, desk: Desk, ledger: Ledger) -> Retention:
        keeps = {hold.case for hold in desk.holds.all().values()}
        keeps |= {n.split("/")[1] for n, error in desk.holds.refused if isinstance(error, Waits)}
        heard = {kit.id: kit.heard for kit in self.kits}
        signers = self.auditor(store, ledger).signers
        now = self.clock.read().wall
        return Retention(
            store, desk.holds.voices, ledger, keeps, heard, signers, KEPT_DAYS, SILENT, now
        )

    def _remove(self, store: ServiceStore, desk: Desk, ledger: Ledger, case: str) -> None:
        kept = next(self._kept(store, desk, ledger).cases(case), None)
        if kept is None or kept.state not in REMOVED:
            return
        if kept.state == "overdue":
            order = desk.withdraw_case(case)
            done = next((one for one in desk.work() if one.order == order), None)
            if done is None or done.state not in ("done", "done-before"):
                return
        purge(store, self.base.keys.signer, ledger, kept, self.clock.read().wall)

    # --- Keys ---------------------------------------------------------------------------------

    def card(self) -> Act | None:
        """The service's next card: others sign and open from now on. Sometimes the key that signed
        until now was stolen."""
        keys = self.base.keys
        number = keys.chain.number + 1
        if number > MOST_CARDS:
            return None
        stolen = self.dice.random() < 0.3 and number > 2
        signing, *opening = (key.card().key for key in later_keys(number))
        now = self.clock.read().wall

        def act() -> None:
            (self.base.folder / f"{number}.key").touch()
            change = Change(
                signing=[signing],
                until=now + 1000 * DAY,
                opening=opening,
                without=[keys.signer.verifier.name] if stolen else [],
            )
            keep_card(self.base.folder, keys.chain.followed_by(next_card(keys, change, now)))
            with self.base.at_work():
                pass

        return act

    def reseal(self) -> Act | None:
        def act() -> None:
            with self.base.at_work() as (store, _desk, ledger):
                for case in every_case(store):
                    if ledger.closing(case) is None:
                        anew.reseal(store, self.base.keys, case)

        return act

    # --- A kit for other hands ----------------------------------------------------------------

    def reset(self) -> Act | None:
        """A kit is ordered to be set back, the store is audited for it, the kit is in contact, and
        somebody presses."""
        kit = self.dice.choice(self.kits)

        def act() -> None:
            now = self.clock.read().wall
            with self.base.at_work() as (store, _desk, ledger):
                order_reset(store, self.base.keys, ledger, kit.id, False, now)
            with self.base.at_work() as (store, _desk, ledger):
                auditor = self.auditor(store, ledger)
                found = auditor.and_read(store, auditor.listed())
                sign_audit(store, self.base.keys, found, 0, now)
            kit.contact(self.clock)
            note, chain = factory_reset.ordered(kit.home), kit.enrolled.chain
            if isinstance(factory_reset.judge(note, kit.id, chain, kit.home, now), Reset):
                factory_reset.begin(kit.home, note, kit.signer, now)
                self._set_back(kit)

        return act

    def start_again(self) -> None:
        """Every program that was killed begins anew."""
        for kit in self.kits:
            if factory_reset.begun(kit.home):
                self._set_back(kit)
            elif KitBooks(kit.home).kit != kit.id:
                kit.before.append(kit.signer.verifier)
                kit.start()
            self._enrol(kit)

    def _set_back(self, kit: Kit) -> None:
        """What each of its processes does when it starts, and then those who take it over."""
        factory_reset.remove_own(kit.home, "web")
        factory_reset.remove_own(kit.home, "sync")
        factory_reset.finish(kit.home)
        kit.before.append(kit.signer.verifier)
        kit.start()
        self._enrol(kit)

    def _enrol(self, kit: Kit) -> None:
        if kit.home.enrolled.exists():
            return
        kit.home.prepare(kit.home.cases, kit.home.receipts, kit.home.inbox, kit.home.recordings)
        here = {path.stem for path in (self.base.folder / "practitioners").glob("*.pub")}
        usual = people_at(self.kits.index(kit))
        for keys in [keys for keys in (*usual, *people()[:PEOPLE]) if keys.card().name in here][:2]:
            KitBooks(kit.home).enrol(service().card(), keys.card())

    # --- From a copy ----------------------------------------------------------------------------

    def put_back(self) -> Act | None:
        """What the store has lost comes from its copy, but for what is not to come back."""
        old = self.root / "old-store"
        if not old.exists():
            return None
        signers = [key for kit in self.kits for key in (kit.signer.verifier, *kit.before)]
        cards = [KitCard(id=key.name.removeprefix("kit-"), verifier=str(key)) for key in signers]

        def act() -> None:
            with closing(Shelf(old)) as copy:
                people_here = [keys.signer.verifier for keys in people()]
                keys = self.base.keys
                restorer = Restorer(copy, keys.chain, keys.identities, people_here, cards)
                with self.base.at_work() as (store, desk, ledger):
                    restorer.rest(store, desk, ledger)
                for case, entries in restorer.cases():
                    with self.base.at_work(1) as (store, desk, ledger):
                        restorer.case(store, desk, ledger, case, entries)
            assert not restorer.damaged and restorer.stopped is None
            left = tuple(one.object for one in restorer.left_out)
            for name in names_below(old) - names_below(self.store):
                ours = "/shares/" in name or "/keep-" in name or not name.startswith("cases/")
                assert ours or name.startswith(left), f"{name} did not come back"

        return act

    # --- Elsewhere ----------------------------------------------------------------------------

    def another_base(self) -> Act | None:
        """A base with a copy of the keys has the lease, and ours does nothing meanwhile."""
        copy = self.root / "old-keys"
        if not copy.exists():
            return None
        other = Base(copy, self.store, self.clock)
        if other.keys.chain.number != self.base.keys.chain.number:
            return None  # Its key may have ended since.
        stays = self.dice.random() < 0.5

        def act() -> None:
            turn = other.turn(other.keys)
            with closing(Shelf(self.store)) as store:
                turn.take(store)
                before = names_below(self.store)
                try:
                    with self.base.at_work() as (_store, desk, _ledger):
                        desk.work()
                except AnotherBase:
                    assert names_below(self.store) == before
                else:
                    raise AssertionError("Two bases have worked at one store.")
                if not stays:
                    turn.leave(store)

        return act
