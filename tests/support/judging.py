"""What must hold of a service whatever happens to it (`tests.support.sequences`): after each step,
and once each kit and base have been in contact.

Nothing goes that nobody took back, and nothing under a hold. In the end nothing withdrawn opens
with any key that there is, every other film is at the store and opens, every order is answered, and
every hold is known.
"""

import hashlib
import random
import re
import tempfile
from collections.abc import Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

from appliance.age.identities import identity_lines, parse_identity
from appliance.age.unsealing import Identity, unseal
from appliance.base.desk import Outcome
from appliance.base.ledger import Ledger
from appliance.base.watch.lease import LEASES
from appliance.errors import AnotherBase, BadInput, Incomplete, NoMatch
from appliance.film.manifest import read_manifest
from appliance.protocol.cards import role_of
from appliance.protocol.case_record import (
    SHARE_END_NAME,
    film_order,
    films_withdrawn,
    held,
    hold_notice,
    is_withdrawn,
    share_end,
    withdrawal_note,
)
from appliance.protocol.names import is_beside
from appliance.protocol.objects import case_files, case_object, revocation_object
from appliance.protocol.orders import (
    FilmWithdrawal,
    ServiceOrder,
    ShareEnd,
    Withdrawal,
    hold_name,
    read_order,
)
from appliance.protocol.receipts import receipt_of
from appliance.records.files import names_in, paths_in, read_plain
from appliance.stores.store import ServiceStore, is_there
from appliance.sync.orders import is_answered
from tests.support.chance import chance_of, in_a_child
from tests.support.sequences import (
    STEPS,
    Act,
    Kit,
    Shelf,
    World,
    beginning,
    names_below,
    people,
)
from tests.support.upkeep import Service

_DISASTERS = ("restore", "lose")
_OF_A_CASE = re.compile(r"cases/(?P<case>[^/]+)/(recordings/(?P<film>[^/]+)/)?.+")


@dataclass(frozen=True)
class Seen:
    """How it stands at one moment."""

    store: set[str]
    kits: list[set[str]]
    held: set[tuple[str, str]]
    """Cases, and films ('' for all), that base knows to be held."""
    ever_held: set[str]
    """Holds that base has ever known, by their names."""
    held_here: list[set[str]]
    """Cases that each kit holds."""
    closed: set[str]
    """Cases that base has closed for good."""
    gone: set[str]
    """Films that base has removed."""
    asked: set[str]
    """Orders that lie on a kit."""
    heard: set[str]
    """Orders that base has answered."""


@dataclass(frozen=True)
class Order:
    """What a family asked for on a kit."""

    kit: Kit
    asked: Withdrawal | FilmWithdrawal | ShareEnd


class Judge:
    """Looks at a world after each step. What is wrong is an AssertionError."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.orders: dict[str, Order] = {}
        """Every order that was ever on the card of a kit."""
        self.films: dict[str, str] = {}
        """Every film that ever was, and whose it is."""
        self.by_service: set[tuple[str, str]] = set()
        """Cases, and films of them, that the service itself has ordered to be withdrawn."""
        self.told_kits: set[tuple[str, str]] = set()
        """Films that the service has asked a kit to take back."""
        self.lost: set[str] = set()
        """Films, and cases whose keys, an accident took from the store when no kit had them; and
        what an order was about that was lost so."""
        self._ids = [kit.id for kit in world.kits]
        self._before = self.look()

    def look(self) -> Seen:
        """See how it stands, and remember what was asked for and filmed."""
        world, here = self._world, set[str]()
        for kit in world.kits:
            self.films.update(kit.films())
            for folder in kit.home.case_folders():
                found = withdrawal_note(folder)
                asked: list[object] = [found[0]] if found else []
                asked += [film_order(folder, film) for film in films_withdrawn(folder)]
                asked += [share_end(path) for path in paths_in(folder.share_ends, SHARE_END_NAME)]
                for one in asked:
                    if isinstance(one, Withdrawal | FilmWithdrawal | ShareEnd):
                        self.orders[one.id] = Order(kit, one)
                        here.add(one.id)
        with world.base.seen() as (desk, ledger):
            for line in ledger.of("accepted").values():
                if role_of(line.ids["by"]) == "service":
                    self.by_service.add((line.ids["case"], line.ids["film"]))
            for line in ledger.of("ordered").values():
                order = read_order(line.ids["note"].encode())
                if isinstance(order, ServiceOrder):
                    self.told_kits.add((order.case, order.film))
            held_at_base = {(one.case, one.film) for one in desk.holds.all().values()}
            ever_held = set(ledger.of("held"))
            answered = list(ledger.of("answered").values())
            closed = {
                line.ids["case"] for line in answered if line.ids["whole"] and not line.ids["held"]
            }
            gone = {line.ids["film"] for line in answered if line.ids["film"]}
        return Seen(
            names_below(world.store),
            [names_below(kit.home.root) for kit in world.kits],
            held_at_base,
            ever_held,
            [
                {folder.name for folder in kit.home.case_folders() if folder.hold.exists()}
                for kit in world.kits
            ],
            closed,
            gone,
            here,
            {line.ids["name"] for line in answered},
        )

    def step(self, name: str, killed: bool) -> None:
        """See that nothing went with the last step that should not have."""
        before, now = self._before, self.look()
        for gone in sorted(before.store - now.store):
            if name in _DISASTERS:
                self._note_lost(gone, now)
            elif not (name == "reseal" and "/identity-" in gone):  # See `_check_film_there`.
                self._check_gone_there(gone, before, now, name, killed)
        for number, (here, left) in enumerate(zip(before.kits, now.kits, strict=True)):
            keeps = before.held_here[number] & now.held_here[number]
            # Once a signed note says that a film is removed, a hold comes too late for it.
            noted = {name.rpartition("/")[2] for name in here if name.startswith("kit/removed/")}
            was_reset = self._ids[number] != self._world.kits[number].id
            for gone in sorted(here - left):
                if was_reset and self._is_there(gone, now):
                    continue
                late = gone.startswith("recordings/") and gone.split("/")[1] in noted
                self._check_gone_here(gone, set() if late else keeps)
        self._before = now
        self._ids = [kit.id for kit in self._world.kits]

    def _note_lost(self, name: str, now: Seen) -> None:
        """What no kit has any more, as it was set back, and what only it had asked for."""
        room, _, order = name.partition("/")
        if room == "orders" and order not in now.asked | now.heard:
            gone = self.orders.pop(order, None)
            if gone is not None and not isinstance(gone.asked, ShareEnd):
                film = gone.asked.film if isinstance(gone.asked, FilmWithdrawal) else ""
                self.lost.add(film or gone.asked.case)
        elif match := _OF_A_CASE.fullmatch(name):
            film, case = match["film"], match["case"]
            if film and not any(f"recordings/{film}/manifest" in kit for kit in now.kits):
                self.lost.add(film)
            elif not any(f"cases/{case}/case.json" in kit for kit in now.kits):
                self.lost.add(case)

    def _is_there(self, name: str, now: Seen) -> bool:
        """True if the store has a file that was on a kit."""
        room, part, *rest = name.split("/")
        if room == "recordings":
            return f"cases/{self.films[part]}/{name}" in now.store
        if room == "cases" and rest[0].startswith("identity-"):
            # It may have been sealed anew.
            return any(there.startswith(f"cases/{part}/identity-") for there in now.store)
        return name in now.store or any(is_beside(there, name) for there in now.store)

    def _check_gone_there(
        self, name: str, before: Seen, now: Seen, step: str, killed: bool
    ) -> None:
        room, case, *rest = name.split("/")
        if room != "cases":
            # What base signs anew makes way first, and a lease ends.
            lease = name.startswith(LEASES)
            # Why a case was held goes with it.
            reason = room == "holds" and rest[0].startswith("why-") and case in now.closed
            assert killed or lease or reason, f"{name} is gone from the store"
            return
        film = rest[1] if rest[0] == "recordings" else ""
        assert self._taken_back(case, rest, film), f"{name} is gone, and nobody took it back"
        closed = case in before.closed or film in before.gone - {""}
        if rest[0] == "shares" or (closed and step != "retention"):
            return
        keeps = {one for one in before.held & now.held if one[0] == case}
        if rest[0] != "recordings" and not rest[0].startswith("identity-"):
            keeps = {one for one in keeps if not one[1]}
        elif film:
            keeps = {one for one in keeps if one[1] in ("", film)}
        assert not keeps, f"{name} is gone, and held"

    def _check_gone_here(self, name: str, keeps: set[str]) -> None:
        room, part, *rest = name.split("/")
        if room == "recordings":
            case = self.films[part]
            assert self._taken_back(case, [], part), f"{name} is gone, and nobody took it back"
            assert case not in keeps, f"{name} is gone from a kit, and held"
        elif room == "cases" and (rest[0].startswith("identity") or len(rest) > 1):
            if rest[0] in ("shares", "withdrawn", "holds", "ends"):
                return
            assert self._taken_back(part, rest, ""), f"{name} is gone, and nobody took it back"
            assert part not in keeps, f"{name} is gone from a kit, and held"

    def _taken_back(self, case: str, rest: Sequence[str], film: str) -> bool:
        """True if somebody asked for a case, a film or what was cut from it to be removed."""
        if (case, "") in self.by_service or (case, film) in self.by_service | self.told_kits:
            return True
        name = "/".join(rest)
        for order in (one.asked for one in self.orders.values() if one.asked.case == case):
            match order:
                case Withdrawal():
                    return True
                case FilmWithdrawal() if order.film == film or order.film in name:
                    return True
                case FilmWithdrawal() if any(clip in name for clip in order.clips):
                    return True
                case ShareEnd() if order.share in name:
                    return True
        return False

    # --- In the end ---------------------------------------------------------------------------

    def is_genuine(self, outcome: Outcome) -> bool:
        """True if a family asked for this, so that the service says yes to it."""
        return outcome.order in self.orders

    def in_the_end(self) -> None:
        """See that each kit and base have come to what was asked for."""
        now = self.look()
        closed = {
            one.asked.case for one in self.orders.values() if isinstance(one.asked, Withdrawal)
        }
        closed |= {case for case, film in self.by_service if not film} | now.closed
        films_back = {
            one.asked.film for one in self.orders.values() if isinstance(one.asked, FilmWithdrawal)
        } | {film for _case, film in self.by_service}
        self._check_holds(now)
        self._check_closed(closed, now)
        for film, case in sorted(self.films.items()):
            if film in films_back and case not in closed:
                self._check_film_gone(film, case, now)
            elif not ({case, film} & (closed | self.lost) or (case, film) in self.told_kits):
                self._check_film_there(film, case)
        self._check_documents(closed)
        # Under a hold what was taken back stays, and no kit brings back what the store lost of it.
        told = {case for case, _film in self.told_kits}
        self._check_audit(closed | told | films_back - {""} | self.lost)
        self._check_answers(now)

    def _check_holds(self, now: Seen) -> None:
        for kit in self._world.kits:
            for folder in kit.home.case_folders():
                notice = hold_notice(folder)
                if notice is None or not self._was_here(notice.signer, notice.since):
                    continue
                name = f"{folder.name}/{hold_name(read_plain(folder.hold))}"
                assert name in now.ever_held, f"base knows nothing of the hold {name}"

    def _was_here(self, name: str, at: object) -> bool:
        left = self._world.left.get(name)
        return left is None or (at is not None and at <= left)  # type: ignore[operator]

    def _check_closed(self, closed: set[str], now: Seen) -> None:
        world = self._world
        kept = {case for case, _film in now.held}
        # Base may have lifted its own side of a hold that a kit's order still speaks of.
        for kit in world.kits:
            kept |= {folder.name for folder in kit.home.case_folders() if held(folder)}
        kept |= {case for case in closed - now.closed if self._waits_for_the_service(case)}
        for case in sorted(closed):
            there = {name for name in now.store if name.startswith(f"cases/{case}/")}
            assert not [name for name in there if "/shares/" in name], f"shares of {case} are left"
            if case not in kept:
                keys = [name for name in there if "/identity-" in name]
                assert not keys, f"the store has keys of {case}: {keys}"
            for kit in world.kits:
                folder = kit.home.case(case)
                if not folder.exists():
                    continue
                assert is_withdrawn(folder), f"{kit.root.name} does not know that {case} is closed"
                if held(folder):
                    continue
                left = [name for name in names_in(folder) if name.startswith("identity")]
                assert not left, f"{kit.root.name} has keys of {case}: {left}"
        every = self._every_key()
        for case in sorted(closed - kept):
            for name in sorted(now.store):
                if name.startswith(f"cases/{case}/") and name.endswith(".age"):
                    _check_shut(world.store / name, every)
            # Sealed films may stay on a card, where the service had no key to remove.
            for kit in world.kits:
                for film in (film for film, of in kit.films().items() if of == case):
                    for path in sorted(kit.home.recording(film).glob("*.age")):
                        _check_shut(path, every)

    def _waits_for_the_service(self, case: str) -> bool:
        """True if a case was only ever withdrawn under a hold, on kits that were set back since.
        Its keys wait for a second order, and nobody but the service can sign that any more."""
        asked = [one.asked for one in self.orders.values() if one.asked.case == case]
        whole = [one for one in asked if isinstance(one, Withdrawal)]
        under_hold = bool(whole) and all(one.held for one in whole)
        return under_hold and (case, "") not in self.by_service and _is_nowhere(self._world, case)

    def _every_key(self) -> list[Identity]:
        """Every key that anybody has, and that these open."""
        found = [*self._world.base.keys.identities, *(keys.identity for keys in people())]
        first = list(found)
        known = {str(one.recipient) for one in found}
        for folder in (self._world.store, *(kit.home.root for kit in self._world.kits)):
            for path in sorted(folder.rglob("*.age")):
                if path.name.startswith("identity-") or path.parent.name == "inbox":
                    with suppress(BadInput, Incomplete, NoMatch):
                        for one in _identities(path, first):
                            if str(one.recipient) not in known:
                                known.add(str(one.recipient))
                                found.append(one)
        return found

    def _check_film_gone(self, film: str, case: str, now: Seen) -> None:
        if (case, "") in now.held or (case, film) in now.held:
            return
        left = [name for name in now.store if f"/recordings/{film}/" in name]
        assert not left, f"the store has a film that was taken back: {left}"
        for kit in self._world.kits:
            if not held(kit.home.case(case)):
                assert film not in kit.films(), f"{kit.root.name} has {film}, which was taken back"

    def _check_film_there(self, film: str, case: str) -> None:
        folder = self._world.store / "cases" / case
        keys = self._keys_there(case)
        manifest = read_manifest(folder / "recordings" / film)
        assert manifest is not None, f"the store has no film {film}"
        for name, _size, sha256 in manifest.files:
            data = (folder / "recordings" / film / name).read_bytes()
            assert hashlib.sha256(data).hexdigest() == sha256, f"{name} of {film} is another"
            unseal(data, keys)

    def _keys_there(self, case: str, which: str = "identity-*.age") -> list[Identity]:
        """What opens a case, as the store has it for the service."""
        keys: list[Identity] = []
        for path in sorted((self._world.store / "cases" / case).glob(which)):
            with suppress(BadInput, Incomplete, NoMatch):
                keys += _identities(path, self._world.base.keys.identities)
        return keys

    def _is_sealed_anew(self, case: str, path: Path, which: str = "identity-*.age") -> bool:
        """True if the store has all that a kit's key file holds, in files of the service's."""
        known = {str(one.recipient) for one in self._keys_there(case, which)}
        every = [*self._world.base.keys.identities, *(keys.identity for keys in people())]
        return {str(one.recipient) for one in _identities(path, every)} <= known

    def _is_written_over(self, case: str, there: Path, path: Path) -> bool:
        """True if what lies there as a key opens for nobody, and a file that the service sealed
        anew has all that it held. A store writes over a key before it takes its name away: a base
        that dies between leaves that, and it is as good as gone."""
        with suppress(BadInput, Incomplete, NoMatch):
            _identities(there, self._every_key())
            return False
        return self._is_sealed_anew(case, path, "identity-????-*.age")

    def _check_documents(self, closed: set[str]) -> None:
        for kit in self._world.kits:
            for folder in kit.home.case_folders():
                if folder.name in closed:
                    continue
                for _part, path in case_files(folder):
                    inside = path.relative_to(folder).as_posix()
                    # Another home may have taken its name: then it lies beside that.
                    receipt = receipt_of(kit.home, case_object(folder.name, inside))
                    assert receipt is not None, f"{kit.root.name} has not sent {path}"
                    there = self._world.store / receipt.object
                    if inside.startswith("shares/") and not there.exists():
                        continue  # Its day may have come there first.
                    if inside.startswith("identity-") and not there.exists():
                        assert self._is_sealed_anew(folder.name, path), f"{there} is lost"
                        continue
                    assert there.exists(), f"the store has lost {receipt.object}"
                    same = there.read_bytes() == path.read_bytes()
                    if inside.startswith("identity-") and not same:
                        same = self._is_written_over(folder.name, there, path)
                    assert same, f"{there} is another"

    def _check_audit(self, but: set[str]) -> None:
        """An audit finds nothing wrong but with cases of which not all came before they were taken
        back."""
        with closing(Shelf(self._world.store)) as store, self._world.base.seen() as (_desk, ledger):
            found = self._world.auditor(store, ledger).listed()
            wrong = [one.sentence for one in found if not any(case in one.object for case in but)]
        assert not wrong, f"an audit finds: {wrong}"

    def _check_answers(self, now: Seen) -> None:
        wall = self._world.clock.read().wall
        for kit in self._world.kits:
            for folder in kit.home.case_folders():
                found = withdrawal_note(folder)
                asked: list[object] = [found[0]] if found else []
                if not is_withdrawn(folder):
                    asked += [film_order(folder, film) for film in films_withdrawn(folder)]
                    ends = [share_end(path) for path in paths_in(folder.share_ends, SHARE_END_NAME)]
                    asked += [one for one in ends if one.at <= wall]
                for order in asked:
                    if not isinstance(order, Withdrawal | FilmWithdrawal | ShareEnd):
                        continue
                    film = order.film if isinstance(order, FilmWithdrawal) else ""
                    keeps = [
                        one
                        for one in now.held
                        if one[0] == order.case and (not film or one[1] in ("", film))
                    ]
                    if isinstance(order, ShareEnd) or not (keeps or held(folder)):
                        assert is_answered(kit.home, order.id, kit.enrolled.chain), (
                            f"{kit.root.name} has no answer to {order}"
                        )


WEIGHTS = {
    "contact": 12, "round": 10, "film": 4, "withdraw": 4, "withdraw_film": 3, "hold": 3, "lift": 3,
    "share": 3, "end_share": 2, "second_home": 2, "base_hold": 2, "base_lift": 2,
    "base_withdraw": 2, "revoke": 1, "stranger": 1, "stale_base": 1, "audit": 2, "back_up": 3,
    "restore": 2, "lose": 3, "end_course": 5, "days_pass": 2, "retention": 5, "card": 2,
    "reseal": 2, "reset": 2, "another_base": 2, "put_back": 3,
}  # fmt: skip
"""How often each step comes up."""
_KILLED = 0.25
_BY_HAND = ("restore", "lose", "back_up", "second_home", "days_pass", "card")
"""What no program of ours does, so that none is killed."""
_MOST_ROUNDS = 60


@dataclass(frozen=True)
class Played:
    """What came of one sequence."""

    steps: list[str]
    """What was done, in turn."""
    wrong: str
    """What did not hold, '' if all did."""


def replay(seed: int) -> Played:
    """Play the sequence of a seed, in a process of its own: one seed is one sequence."""
    where, _cases = beginning()
    with tempfile.TemporaryDirectory(dir=where.parent) as folder:
        told = Path(folder, "told")
        wrong = in_a_child(lambda: _play(seed, Path(folder, "world"), told))
        return Played(told.read_text().splitlines() if told.exists() else [], wrong)


def _play(seed: int, root: Path, told: Path) -> None:
    dice = random.Random(seed)
    with open(told, "w") as say, chance_of(f"{seed}"):
        world = Service(root, dice)
        judge = Judge(world)
        for number in range(STEPS):
            world.clock.advance(dice.choice((60, 3600, 20 * 3600)))
            name = dice.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]
            dies_at = int(1 + dice.expovariate(1 / 15)) if dice.random() < _KILLED else 0
            dies_at = 0 if name in _BY_HAND else dies_at
            found: Act | None = getattr(world, name)()
            if found is None:
                continue
            act = _in_turn(found)
            print(
                f"{number} {name}", f"killed at {dies_at}" if dies_at else "", file=say, flush=True
            )
            with chance_of(f"{seed} {number}"):
                if dies_at:
                    wrong = in_a_child(act, dies_at)
                    assert not wrong, wrong
                    world.start_again()
                else:
                    act()
            judge.step(name, dies_at > 0)
        for part in ("as it is", "with every hold lifted"):
            print(part, file=say, flush=True)
            settle(world, judge)
            judge.in_the_end()
            lift_all(world)


def _in_turn(act: Act) -> Act:
    """It, or nothing while another base has the lease."""

    def acts() -> None:
        with suppress(AnotherBase):
            act()

    return acts


def settle(world: World, judge: Judge) -> None:
    """One contact of each kit with base, there and back."""
    world.clock.advance(3600)  # What lease there was has ended.
    for kit in world.kits:
        kit.contact(world.clock, compare=True)
        judge.step("contact", killed=False)
    for _ in range(_MOST_ROUNDS):
        with world.base.at_work() as (store, desk, ledger):
            asks = [one for one in desk.work() if one.state == "asks" and judge.is_genuine(one)]
            for one in asks:
                with suppress(BadInput):  # Under a hold.
                    if one.film:
                        desk.withdraw_film(one.kit, one.case, one.film)
                    else:
                        desk.withdraw_case(one.case)
            settled = _is_settled(world, store, ledger)
        judge.step("round", killed=False)
        if settled and not asks:
            break
    for kit in world.kits:
        kit.contact(world.clock, compare=True)
        kit.send(world.clock)
        judge.step("contact", killed=False)


def _is_settled(world: World, store: ServiceStore, ledger: Ledger) -> bool:
    """True once nothing is left of what was to go, and all that was signed lies there: a round
    looks at some of it only."""
    found = world.auditor(store, ledger).listed()
    said = [
        *(revocation_object(name) for name in ledger.of("revoked")),
        *(f"kits/{kit}/orders/{number}" for kit, number in _numbered(ledger)),
    ]
    left = [one for one in found if one.code in ("answer", "key-left", "film-left")]
    return not left and all(is_there(store, name) for name in said)


def _numbered(ledger: Ledger) -> list[list[str]]:
    return [name.split("/") for name in ledger.of("ordered")]


def lift_all(world: World) -> None:
    for kit in world.kits:
        for folder in kit.home.case_folders():
            if kit.may_lift(folder.name):
                kit.lift(folder.name, world.clock)
    for kit in world.kits:
        kit.contact(world.clock)
    with world.base.at_work() as (_store, desk, ledger):
        desk.holds.hear()
        for hold in sorted(desk.holds.all()):
            desk.holds.lift(world.base.keys.signer, hold, world.clock.read().wall)
        # What was withdrawn under a hold, on a kit that was set back since, is for the service.
        whole = {line.ids["case"] for line in ledger.of("answered").values() if line.ids["whole"]}
        for case in sorted(whole):
            closing = ledger.closing(case)
            by_order = closing is not None and closing.ids["held"] == "order"
            if by_order and _is_nowhere(world, case):
                desk.withdraw_case(case)


def _is_nowhere(world: World, case: str) -> bool:
    return not any(kit.home.case(case).exists() for kit in world.kits)


def _identities(path: Path, keys: Sequence[Identity]) -> list[Identity]:
    return [
        parse_identity(line) for line in identity_lines(unseal(path.read_bytes(), keys).decode())
    ]


def _check_shut(path: Path, keys: Sequence[Identity]) -> None:
    try:
        unseal(path.read_bytes(), keys)
    except NoMatch:
        return
    raise AssertionError(f"{path} opens, and its family has withdrawn")
