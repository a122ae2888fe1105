"""A film that may leave its card: sent, looked at together, read by the service, ordered."""

import hashlib
from datetime import datetime, timedelta
from typing import Any

import msgspec

from appliance.protocol.emptying import FILMS_READ, FilmEmptied, FilmEmptying, FilmsRead
from appliance.protocol.objects import film_object
from appliance.protocol.receipts import Receipt, receipt_path
from appliance.protocol.requests import Remove
from appliance.records.files import Home, new_id, save, save_fact
from appliance.records.signing import Signer, sign_fact
from tests.support.clocks import NOON
from tests.support.fakes import PRACTITIONER, SERVICE, Stage

STORE = "sftp://store.example/attune"


def make_film(kit: Stage, **changes: Any) -> str:
    """A film of two seconds, which nobody removes by the button any more; returns its name."""
    kit.arm(**changes)
    kit.press()
    kit.advance(2)
    kit.press()
    kit.settle()
    kit.clock.advance(180)
    return kit.status.recording


def on_card(home: Home, film: str) -> dict[str, str]:
    """Every file of a film, with the digest of what it holds."""
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in home.recording(film).iterdir()
    }


def manifest_digest(home: Home, film: str) -> str:
    return on_card(home, film)["manifest"]


def confirm(home: Home, case: str, film: str, store: str = STORE) -> None:
    """A receipt for each of its files."""
    for path in home.recording(film).iterdir():
        name = film_object(case, film, path.name)
        data = path.read_bytes()
        receipt = Receipt(
            object=name,
            size=len(data),
            sha256=hashlib.sha256(data).hexdigest(),
            store=store,
            at=NOON,
            how="read-back",
        )
        where = receipt_path(home, name)
        where.parent.mkdir(parents=True, exist_ok=True)
        save_fact(where, receipt)


def say_read(kit: Stage, film: str, signer: Signer = SERVICE.signer, /, **changes: Any) -> None:
    """The service's word that it read this film, an hour ago, as sync has brought it in."""
    read = FilmsRead(
        kit=kit.books.kit,
        at=now(kit) - timedelta(hours=1),
        films={film: manifest_digest(kit.home, film)},
    )
    kit.home.prepare(kit.home.inbox)
    note = sign_fact(signer, msgspec.structs.replace(read, **changes))
    save(kit.home.inbox / FILMS_READ, note.encode())


def order(kit: Stage, film: str, signer: Signer = PRACTITIONER.signer, /, **changes: Any) -> str:
    said = FilmEmptying(
        case=kit.case,
        kit=kit.books.kit,
        film=film,
        manifest=manifest_digest(kit.home, film),
        seen=now(kit) - timedelta(minutes=1),
        at=now(kit),
    )
    return sign_fact(signer, msgspec.structs.replace(said, **changes))


def ask(kit: Stage, note: str) -> str:
    """Ask for it as the page does; returns the recorder's answer."""
    at = kit.clock.read()
    return kit.ask(Remove(id=new_id(), boot=at.boot, boottime=at.boottime, note=note))


def now(kit: Stage) -> datetime:
    return kit.clock.read().wall


def emptied(home: Home, signer: Signer, case: str, film: str) -> None:
    """What the recorder, whose key this is, leaves of a film."""
    note = FilmEmptied(
        recording=film,
        case=case,
        kit=signer.verifier.name.removeprefix("kit-"),
        manifest=manifest_digest(home, film),
        order="0" * 64,
        read="0" * 64,
        at=NOON,
    )
    home.emptied.mkdir(exist_ok=True)
    save(home.emptied / film, sign_fact(signer, note).encode())
    for path in home.recording(film).iterdir():
        if path.name != "manifest":
            path.unlink()
