"""Who belongs to the service: enrolling, and letting somebody back in who forgot a passphrase.

The service's folder of keys has practitioners/ (their cards) and kits/ (theirs). What is recovered
is the case's key, sealed anew to the practitioner's new card in a file of its own at the store; the
films themselves are not touched. With their new key they then open films at base, and a signed
order lets them in on their kit (`appliance.casework.readmission`).
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from appliance.age.identities import identity_lines, parse_identity
from appliance.age.sealing import seal
from appliance.base.cases import every_case, newest_key, put_key, teams_there
from appliance.base.ledger import Ledger
from appliance.base.orders import place_order, put_note
from appliance.errors import BadFile, BadInput, Incomplete, NoMatch
from appliance.protocol.cards import Card, KitCard
from appliance.protocol.enrolment import Revocation
from appliance.protocol.objects import case_object, kit_object, revocation_object, tombstone_object
from appliance.protocol.orders import Readmission
from appliance.protocol.permits import Ceilings, recipient_digest
from appliance.protocol.readmission import key_file
from appliance.records.clock import Clock
from appliance.records.files import checked_id, from_json, save, to_json
from appliance.records.signing import Verifier, sign_fact
from appliance.stores.store import ServiceStore, is_there, read_small
from appliance.vault.cases import Team, teams_in_force
from appliance.vault.keys import PrivateKeys


def enrol(data: bytes, keys: Path) -> Path:
    """Put a practitioner's or a kit's card into the service's folder; returns where it lies.

    Raises BadFile for what is neither, BadInput where somebody has another key than before.
    """
    try:
        card = from_json(data, Card)
    except (BadInput, ValueError):
        kit = _kit(data)
        path = keys / "kits" / f"{kit.id}.pub"
        if path.exists() and _kit(path.read_bytes()).verifier != kit.verifier:
            raise BadInput(
                f"Kit {kit.id} is enrolled with another key.",
                "If it was really made anew, move its old card out of kits/ first.",
            ) from None
        data = to_json(kit)
    else:
        if card.role != "practitioner":
            raise BadFile("This card is a service's.", "Give a practitioner's or a kit's card.")
        if any(_named(path) == card.name for path in (keys / "revoked").glob("*.pub")):
            raise BadInput(
                f"{card.name} was revoked, and every kit was told.",
                "If they come back, make new keys for them: attune keygen",
            )
        path = keys / "practitioners" / f"{card.name}.pub"
        for known in (keys / "practitioners").glob("*.pub"):
            if _named(known) == card.name and from_json(known.read_bytes(), Card) != card:
                # Their families are known by that name alone.
                raise BadInput(
                    f"{card.name} is enrolled with another key.",
                    "If it was really made anew, it has a name of its own: attune keygen",
                )
        data = to_json(card)
    path.parent.mkdir(mode=0o700, exist_ok=True)
    save(path, data + b"\n")
    return path


def sign_ceilings(keys: PrivateKeys, folder: Path, ceilings: Ceilings) -> Path:
    """Write what a kit takes in at its set-up: the service's card, and what it lets its kits do.

    It is public, and stands in place of the card alone, with the cards that followed it. Returns
    where it lies.
    """
    path = folder / "service-setup.pub"
    note = sign_fact(keys.signer, ceilings)
    cards = "".join(keys.chain.notes)
    save(path, to_json(keys.chain.first) + b"\n" + cards.encode() + note.encode())
    return path


def revoke(
    store: ServiceStore, keys: PrivateKeys, name: str, folder: Path, clock: Clock, ledger: Ledger
) -> Path:
    """Sign for every kit that a practitioner is none any more, then take their card away: what
    they sign from now on counts no more. Raises BadInput, SendInterrupted, SendRefused."""
    path = card_of(name, folder)
    known = ledger.of("revoked").get(name)
    if known is not None:  # A run was cut: they left then, and not only now.
        note = known.ids["note"]
    else:
        note = sign_fact(keys.signer, Revocation(practitioner=name, at=clock.read().wall))
        ledger.write("revoked", name, note=note)
    put_note(store, revocation_object(name), note.encode())
    away = folder / "revoked" / path.name
    away.parent.mkdir(mode=0o700, exist_ok=True)
    path.replace(away)
    return away


def card_of(name: str, folder: Path) -> Path:
    """Where the card of a practitioner of this name lies. Raises BadInput."""
    for path in sorted((folder / "practitioners").glob("*.pub")):
        if _named(path) == name:
            return path
    raise BadInput(f"There is no practitioner {name} here.", "Their names are in the .pub files.")


def unknown_kits(store: ServiceStore, names: Iterable[str], keys: Path) -> list[str]:
    """Kits that have sent here and are not enrolled with the key that they show; `names` is what
    the store lists under kits/. Raises SendInterrupted, SendRefused."""
    unknown = []
    for name in names:
        if not name.endswith("/card.json"):
            continue
        kit = name.split("/")[1]
        path = keys / "kits" / f"{kit}.pub"
        if not path.exists() or path.read_bytes() != read_small(store, name):
            unknown.append(kit)
    return unknown


@dataclass(frozen=True)
class Recovered:
    """A case that was looked at, to let somebody in again."""

    case: str
    key: str = ""
    """Name of the new key file at the store, '' where there is none."""
    order: int = 0
    """Number of the order for the kit, 0 where none was named."""
    kit: str = ""
    """The kit that it is for."""
    why: str = ""
    """A sentence, where nothing was done."""


@dataclass(frozen=True)
class SealedKey:
    """A case's key, sealed anew to somebody and to the service."""

    case: str
    number: int
    """Of the kit's key file whose secrets it holds."""
    sealed: bytes


def cases_of(
    store: ServiceStore, keys: PrivateKeys, name: str, folder: Path
) -> tuple[list[str], list[Recovered]]:
    """The cases that the practitioner of this name works in, as each case's own sealed list says;
    and those of which that cannot be known.

    Only a list that a practitioner of this service signed counts. Raises SendInterrupted,
    SendRefused.
    """
    cards = [*(folder / "practitioners").glob("*.pub"), *(folder / "revoked").glob("*.pub")]
    believed = [from_json(path.read_bytes(), Card).verifying_key() for path in cards]
    found, unknown = [], []
    for case in every_case(store):
        try:
            opened = newest_key(store, keys, case)
            teams = _teams(store, believed, case, opened[1]) if opened else []
        except (BadInput, Incomplete, NoMatch) as error:
            unknown.append(Recovered(case, why=f"Who works in it cannot be known: {error.args[0]}"))
            continue
        if any(name == card.name for team in teams for card in team.members):
            found.append(case)
    return found, unknown


def recover(
    store: ServiceStore,
    keys: PrivateKeys,
    to: Card,
    cases: Sequence[str],
    kit: str,
    clock: Clock,
    ledger: Ledger,
) -> list[Recovered]:
    """Seal the keys of these cases to a practitioner's new card as well, and order the kit of this
    id, if one is named, to let them in.

    A case that was withdrawn has no key, and gets none; one whose key these do not open is left
    alone. Safe to call again: the newest order counts. Raises BadInput, SendInterrupted,
    SendRefused.
    """
    if to.role != "practitioner":
        raise BadInput("Only a practitioner's card can be let in.", "Give their new .pub file.")
    keys.chain.recipients(to)  # Before anything is done.
    if kit and not is_there(store, kit_object(kit)):
        raise BadInput(
            f"No kit {kit} has ever sent to this store.",
            "Its number stands on its page, under This kit.",
        )
    return [_recover(store, keys, to, case, kit, clock, ledger) for case in cases]


def _recover(
    store: ServiceStore,
    keys: PrivateKeys,
    to: Card,
    case: str,
    kit: str,
    clock: Clock,
    ledger: Ledger,
) -> Recovered:
    try:
        found = newest_key(store, keys, case)
    except NoMatch as error:
        return Recovered(case, why=error.sentence)
    if found is None:
        return Recovered(case, why="There is no key of it: the family has withdrawn, or none came.")
    number, secrets = found
    sealed = SealedKey(case, number, seal(secrets, keys.chain.recipients(to)))
    return give_key(store, keys, ledger, clock, to, sealed, kit)


def give_key(
    store: ServiceStore,
    keys: PrivateKeys,
    ledger: Ledger,
    clock: Clock,
    to: Card,
    given: SealedKey,
    kit: str,
) -> Recovered:
    """Put a case's key at the store that was sealed to somebody's card, and order the kit, if one
    is named, to let them in. Raises SendInterrupted, SendRefused."""
    case, sealed = given.case, given.sealed
    key = key_file(given.number, to)
    name = case_object(case, key)
    ledger.write("let-in", f"{case}/{to.name}")
    # The service's own name: in place of what an earlier run, or anybody, has put there.
    put_key(store, keys, name, sealed)
    if is_there(store, tombstone_object(case)):
        # With what made way for it.
        store.purge(name.removesuffix(".age"))
        return Recovered(case, why="The family has withdrawn just now.")
    if not kit:
        return Recovered(case, name)
    now, digest = clock.read().wall, hashlib.sha256(sealed).hexdigest()
    order = place_order(
        store,
        keys,
        ledger,
        kit,
        lambda n: Readmission(
            number=n,
            kit=kit,
            case=case,
            practitioner=to.name,
            recipient=recipient_digest(to.recipient),
            key=key,
            sha256=digest,
            at=now,
        ),
    )
    return Recovered(case, name, order, kit)


def _teams(
    store: ServiceStore, believed: Sequence[Verifier], case: str, secrets: bytes
) -> list[Team]:
    """Who works in a case, as each of its homes says; none where that has not come yet."""
    identities = [parse_identity(line) for line in identity_lines(secrets.decode())]
    lists = {
        name: read_small(store, case_object(case, f"documents/{name.file}")) or b""
        for name in teams_there(store, case)
    }
    return teams_in_force(lists, identities, believed, case)


def _named(path: Path) -> str:
    return from_json(path.read_bytes(), Card).name


def _kit(data: bytes) -> KitCard:
    try:
        kit = from_json(data, KitCard)
        kit.verifying_key()
        checked_id(kit.id)
    except (BadInput, ValueError) as error:
        raise BadFile(
            "This is neither a practitioner's card nor a kit's.",
            "Give the .pub file of `attune keygen`, or a kit's kit.json.",
        ) from error
    return kit
