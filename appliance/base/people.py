"""Who belongs to the service: enrolling, and letting somebody back in who forgot a passphrase.

The service's folder of keys has practitioners/ (their cards) and kits/ (theirs). What is recovered
is the case's key, sealed anew to the practitioner's new card in the next numbered file of the
store; the films themselves are not touched. With their new key they then open films at base; a kit
does not take such a file in by itself.
"""

import io
from collections.abc import Sequence
from pathlib import Path

from appliance.clock import Clock
from appliance.errors import BadFile, BadInput, NoMatch, SendInterrupted
from appliance.files import checked_id, from_json, save, to_json
from appliance.keys import Card, PrivateKeys
from appliance.permits import Ceilings, Revocation
from appliance.receipts import KitCard, revocation_object, tombstone_object
from appliance.sealing import seal
from appliance.stores import Put, ServiceStore, read_small
from appliance.unsealing import unseal


def enrol(data: bytes, keys: Path) -> Path:
    """Put a practitioner's or a kit's card into the service's folder; returns where it lies.

    Raises BadFile for what is neither, BadInput where a kit has another key than before.
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
        data = to_json(card)
    path.parent.mkdir(mode=0o700, exist_ok=True)
    save(path, data + b"\n")
    return path


def sign_ceilings(keys: PrivateKeys, folder: Path, ceilings: Ceilings) -> Path:
    """Write what a kit takes in at its set-up: the service's card, and what it lets its kits do.

    It is public, and stands in place of the card alone. Returns where it lies.
    """
    path = folder / "service-setup.pub"
    note = keys.signer.sign(f"{to_json(ceilings).decode()}\n")
    save(path, to_json(keys.card()) + b"\n" + note.encode())
    return path


def revoke(store: ServiceStore, keys: PrivateKeys, name: str, folder: Path, clock: Clock) -> Path:
    """Sign for every kit that a practitioner is none any more, then take their card away: their
    orders count no more. Raises BadInput, SendInterrupted, SendRefused."""
    for path in sorted((folder / "practitioners").glob("*.pub")):
        if _named(path) == name:
            fact = Revocation(practitioner=name, at=clock.read().wall)
            note = keys.signer.sign(f"{to_json(fact).decode()}\n").encode()
            where = revocation_object(name)
            # In place of what somebody else may have put there.
            store.purge(where)
            store.create(where, io.BytesIO(note))
            away = folder / "revoked" / path.name
            away.parent.mkdir(mode=0o700, exist_ok=True)
            path.replace(away)
            return away
    raise BadInput(f"There is no practitioner {name} here.", "Their names are in the .pub files.")


def unknown_kits(store: ServiceStore, keys: Path) -> list[str]:
    """Kits that have sent here and are not enrolled with the key that they show.

    Raises SendInterrupted, SendRefused.
    """
    unknown = []
    for entry in store.list("kits/"):
        if not entry.name.endswith("/card.json"):
            continue
        name = entry.name.split("/")[1]
        path = keys / "kits" / f"{name}.pub"
        if not path.exists() or path.read_bytes() != read_small(store, entry.name):
            unknown.append(name)
    return unknown


def recover(store: ServiceStore, keys: PrivateKeys, to: Card, cases: Sequence[str]) -> list[str]:
    """Seal the keys of these cases (all, if none is named) to a practitioner's new card as well.

    Returns the names of the new key files. A case that was withdrawn has no key, and gets none.
    Raises NoMatch where the service's own keys do not open it.
    """
    if to.role != "practitioner":
        raise BadInput("Only a practitioner's card can be let in.", "Give their new .pub file.")
    if to.sealing_key().kind != keys.card().sealing_key().kind:
        raise BadInput("This card is of the other type than the service's keys.")
    made = []
    for case in cases or _cases(store):
        prefix = f"cases/{checked_id(case)}/identity-"
        names = [entry.name for entry in store.list(prefix)]
        if not names or store.open(tombstone_object(case)) is not None:
            continue
        newest = read_small(store, names[-1])
        if newest is None:
            raise BadFile(f"The key of case {case} cannot be read.")
        try:
            text = unseal(newest, [keys.identity])
        except NoMatch as error:
            raise NoMatch(
                f"The service's keys do not open case {case}.", "Give the keys it was made with."
            ) from error
        number = int(names[-1].rpartition("-")[2].removesuffix(".age")) + 1
        name = f"{prefix}{number:04}.age"
        sealed = seal(text, [to.sealing_key(), keys.card().sealing_key()])
        if store.create(name, io.BytesIO(sealed)) is Put.ALREADY_THERE:
            raise SendInterrupted(f"A kit was sending {name} just now.", "Run it again.")
        made.append(name)
    return made


def _cases(store: ServiceStore) -> list[str]:
    return sorted({entry.name.split("/")[1] for entry in store.list("cases/")})


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
