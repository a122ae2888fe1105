"""`python -m appliance.base STORE -i KEYS`: carry out the orders that kits have brought."""

import contextlib
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import NoReturn

import click
import msgspec

from appliance.base import people
from appliance.base.orders import Desk, Outcome, choose_keys, make_new, order_reset
from appliance.errors import BadFile, BadInput, KitError, SendFailed, error_json
from appliance.protocol.cards import Card
from appliance.protocol.objects import kit_object
from appliance.protocol.permits import LONGEST_FILM, LONGEST_LIFE, MOST_FILMS, Ceilings
from appliance.records.clock import SystemClock
from appliance.records.files import load_fact, save, to_json
from appliance.stores import open_store
from appliance.stores.access import load_access
from appliance.stores.store import ServiceStore, is_there
from appliance.vault.keys import PrivateKeys, unlock

REST_SECONDS = 10.0

_PATH = click.Path(path_type=Path)
_STAYS = (
    "The sealed films stay in the store; without these keys nobody can open them, the service "
    "included.\nA backup or snapshot of the store is not reached from here: remove the keys there "
    "too."
)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("store", metavar="STORE")
@click.option(
    "-i",
    "--identity",
    "keys",
    type=_PATH,
    required=True,
    metavar="KEYS",
    help="The service's key file, or the folder with it. Beside it, in practitioners/, lie the "
    ".pub files of those whose orders count.",
)
@click.option("--passphrase-file", type=_PATH, metavar="FILE", help="The key file's passphrase.")
@click.option("--new", is_flag=True, help="Make an empty store this service's own first.")
@click.option("--withdraw", "case", metavar="CASE", help="Withdraw a case, as its family asked.")
@click.option("--film", metavar="FILM", help="Withdraw only this film of the case.")
@click.option("--kit", metavar="KIT", help="The kit that has the film; with --recover, theirs.")
@click.option("--access", type=_PATH, metavar="FILE", help="How to get into STORE, and its pin.")
@click.option(
    "--enrol",
    "cards",
    type=_PATH,
    multiple=True,
    metavar="CARD",
    help="Enrol a practitioner (their .pub file) or a kit (its kit.json).",
)
@click.option(
    "--revoke",
    metavar="NAME",
    help="A practitioner's orders count no more, and every kit that has them locks them out.",
)
@click.option(
    "--recover",
    "let_in",
    type=_PATH,
    metavar="CARD",
    help="A practitioner forgot the passphrase: enrol their new card, and seal the keys of their "
    "cases to it as well. With --kit, that kit lets them in again.",
)
@click.option(
    "--instead-of",
    "before",
    metavar="NAME",
    help="--recover is for every case in which the practitioner of this name works: their name on "
    "the old card.",
)
@click.option("--case", "cases", multiple=True, metavar="CASE", help="--recover is for this case.")
@click.option(
    "--ceilings",
    type=(
        click.IntRange(1, int(LONGEST_FILM.total_seconds()) // 60),
        click.IntRange(1, MOST_FILMS),
        click.IntRange(1, int(LONGEST_LIFE.total_seconds()) // 3600),
    ),
    metavar="MINUTES FILMS HOURS",
    help="Sign what a kit may do at most: minutes of a film, films and hours of one arming. It is "
    "written to service-setup.pub, which a new kit takes in place of service.pub.",
)
@click.option(
    "--reset",
    "given_up",
    metavar="KIT",
    help="Order this kit to be set back, for other hands: everything on it goes, once all is sent "
    "and somebody at the kit presses for it. The order is also written to reset-KIT.order.",
)
@click.option(
    "--even-unsent",
    is_flag=True,
    help="With --reset: what was never sent goes as well. It may exist nowhere else.",
)
@click.option("--once", is_flag=True, help="Carry out what is there, then end.")
@click.option("--json", "as_json", is_flag=True, help="Print each round as one JSON object.")
def base(
    store: str,
    keys: Path,
    passphrase_file: Path | None,
    new: bool,
    case: str | None,
    film: str | None,
    kit: str | None,
    access: Path | None,
    cards: tuple[Path, ...],
    revoke: str | None,
    let_in: Path | None,
    before: str | None,
    cases: tuple[str, ...],
    ceilings: tuple[int, int, int] | None,
    given_up: str | None,
    even_unsent: bool,
    once: bool,
    as_json: bool,
) -> None:
    """Carry out the withdrawals that kits have brought to STORE, and sign for them.

    First whatever the other options ask for. Kits that send here without having been enrolled are
    named each time.
    """
    own = read_keys(keys, _asking(passphrase_file))
    folder = keys if keys.is_dir() else keys.parent
    for card in cards:
        click.echo(f"Enrolled: {people.enrol(card.read_bytes(), folder)}", err=True)

    def opened() -> ServiceStore:
        return open_store(store, load_access(access))

    if revoke is not None:
        with contextlib.closing(opened()) as place:
            chosen = choose_keys(place, own)
            away = people.revoke(place, chosen, revoke, folder, SystemClock())
            click.echo(f"Revoked: {away}", err=True)
    if (cases or before) and let_in is None:
        raise click.UsageError("--case and --instead-of go with --recover CARD.")
    if let_in is not None:
        if not cases and not before:
            raise click.UsageError("Say for which cases: --instead-of NAME, or --case CASE.")
        with contextlib.closing(opened()) as place:
            let_back_in(place, choose_keys(place, own), let_in, folder, before, cases, kit or "")
    practitioners = read_practitioners(keys)
    if (new or ceilings) and len(own) > 1:
        raise BadInput(
            f"There are {len(own)} key files in {keys}.", "Name the one that it is done with."
        )
    if ceilings is not None:
        minutes, films, hours = ceilings
        most = Ceilings(
            limit=60 * minutes, films=films, life=3600 * hours, since=SystemClock().read().wall
        )
        click.echo(f"Signed: {people.sign_ceilings(own[0], folder, most)}", err=True)
    if new:
        with contextlib.closing(opened()) as place:
            make_new(place, own[0])
    if case is not None:
        with contextlib.closing(opened()) as place:
            own_desk = Desk(place, choose_keys(place, own), practitioners, SystemClock())
            withdraw(own_desk, case, film, kit)
    elif film or (kit and let_in is None):
        raise click.UsageError("--film and --kit go with --withdraw CASE.")
    if given_up is not None:
        with contextlib.closing(opened()) as place:
            signer = choose_keys(place, own).signer
            now = SystemClock().read().wall
            number, note = order_reset(place, signer, given_up, even_unsent, now)
            known = is_there(place, kit_object(given_up))
        save(folder / f"reset-{given_up}.order", note)
        click.echo(f"Order {number} for kit {given_up}: it is to be set back.", err=True)
        if not known:
            click.echo(f"No kit {given_up} has ever sent here. Is that its number?", err=True)
    elif even_unsent:
        raise click.UsageError("--even-unsent goes with --reset KIT.")
    shown: set[Outcome] = set()
    unknown: list[str] = []
    while True:
        try:
            with contextlib.closing(opened()) as place:
                chosen = choose_keys(place, own)
                outcomes = Desk(place, chosen, practitioners, SystemClock()).work()
                found = people.unknown_kits(place, folder)
        except SendFailed as error:
            if once:
                raise
            click.echo(f"attune base: {error}", err=True)
        else:
            _print(outcomes if once else [o for o in outcomes if o not in shown], as_json, once)
            for name in found:
                if name not in unknown:
                    click.echo(f"Kit {name} sends here and is not enrolled (--enrol).", err=True)
            unknown = found
            shown.update(outcomes)
            if once:
                sys.exit(1 if any(outcome.state == "refused" for outcome in outcomes) else 0)
        time.sleep(REST_SECONDS)


def withdraw(desk: Desk, case: str, film: str | None, kit: str | None) -> None:
    """Order a withdrawal that reached the service itself. Raises BadFile for what is no id."""
    if film is None and kit is None:
        desk.withdraw_case(case)
    elif film and kit:
        desk.withdraw_film(kit, case, film)
    else:
        raise click.UsageError("To withdraw one film, give --film and the --kit that has it.")


def let_back_in(
    store: ServiceStore,
    keys: PrivateKeys,
    path: Path,
    folder: Path,
    before: str | None,
    cases: Sequence[str],
    kit: str,
) -> None:
    """Enrol a practitioner's new card, and let it into their cases. Raises BadInput, NoMatch."""
    card = load_fact(path, Card)
    if card is None:
        raise BadInput(f"There is no card {path}.")
    # First: who was revoked is not let in, and a withdrawal that they sign from now on counts here.
    click.echo(f"Enrolled: {people.enrol(to_json(card), folder)}", err=True)
    wanted, looked = list(cases), list[people.Recovered]()
    if before:
        found, looked = people.cases_of(store, keys, before, folder)
        wanted += [case for case in found if case not in wanted]
        if not found:
            click.echo(f"No case here names {before} as one who works in it.", err=True)
    looked += people.recover(store, keys, card, wanted, kit, SystemClock())
    for one in looked:
        if one.why:
            click.echo(f"Case {one.case} was left alone: {one.why}", err=True)
            continue
        ordered = f"; order {one.order} for kit {kit}" if one.order else ""
        click.echo(f"Sealed anew: {one.key}{ordered}", err=True)
    if not kit:
        click.echo("No kit was told: give theirs with --kit, and it lets them in again.", err=True)


def read_keys(keys: Path, ask: Callable[[], str]) -> list[PrivateKeys]:
    """The service's keys in a file or in every *.key of a folder. Raises BadInput, BadFile,
    WrongPassphrase."""
    paths = sorted(keys.glob("*.key")) if keys.is_dir() else [keys]
    found = []
    for path in paths:
        try:
            data = path.read_bytes()
        except OSError as error:
            raise BadInput(f"{path} could not be read: {error.strerror}.") from error
        if data.startswith(b"age-encryption.org/"):
            own = unlock(data, ask())
        else:
            try:
                own = PrivateKeys.parse(data.decode())
            except UnicodeDecodeError as error:
                raise BadFile(f"{path} is not a key file.") from error
        if own.card().role != "service":
            raise BadInput(
                f"{path} holds a practitioner's keys.", "Give the keys of the service itself."
            )
        found.append(own)
    if not found:
        raise BadInput(
            f"There is no key file (*.key) in {keys}.",
            "Make the service's keys with: attune keygen --role service -o service.key",
        )
    return found


def read_practitioners(keys: Path) -> list[Card]:
    """The cards in practitioners/, beside the service's keys. Raises BadFile."""
    folder = (keys if keys.is_dir() else keys.parent) / "practitioners"
    cards = []
    for path in sorted(folder.glob("*.pub")):
        try:
            card = load_fact(path, Card)
        except BadInput:
            card = None
        if card is None or card.role != "practitioner":
            raise BadFile(
                f"{path} is not the card of a practitioner.",
                "Put the .pub file there that `attune keygen` made for them.",
            )
        cards.append(card)
    return cards


def _asking(file: Path | None) -> Callable[[], str]:
    def ask() -> str:
        if file is None:
            return str(click.prompt("Passphrase of the service's keys", hide_input=True, err=True))
        try:
            return file.read_text().partition("\n")[0].rstrip("\r")
        except (OSError, UnicodeDecodeError) as error:
            raise BadInput(f"The passphrase could not be read from {file}.") from error

    return ask


def _print(outcomes: Sequence[Outcome], as_json: bool, once: bool) -> None:
    refused = [outcome for outcome in outcomes if outcome.state == "refused"]
    if as_json:
        answer = {"ok": not refused, "orders": [asdict(outcome) for outcome in outcomes]}
        if once or outcomes:
            click.echo(msgspec.json.encode(answer).decode())
        return
    for outcome in outcomes:
        if outcome.state == "refused":
            click.echo(f"Order {outcome.order} was refused: {outcome.why}", err=True)
        elif outcome.state == "held":
            click.echo(
                f"Case {outcome.case} is withdrawn, and held: its keys wait for the hold's end."
            )
        elif outcome.state == "done" and outcome.film:
            click.echo(
                f"Film {outcome.film} is withdrawn. Removed just now: {len(outcome.removed)} files."
            )
        elif outcome.state == "done" and outcome.share:
            click.echo(
                f"Share {outcome.share} has ended. Removed just now: {len(outcome.removed)} files."
            )
        elif outcome.state == "done":
            names = ", ".join(name.rpartition("/")[2] for name in outcome.removed) or "none"
            click.echo(f"Case {outcome.case} is withdrawn. Keys removed just now: {names}.")
    if any(o.state == "done" and not (o.film or o.share) for o in outcomes):
        click.echo(_STAYS)
    if refused:
        click.echo(
            "A refused order changes nothing. If its practitioner is yours, put their .pub file "
            "into practitioners/ beside the keys and run this again.",
            err=True,
        )
    if once:
        before = sum(outcome.state in ("done-before", "held") for outcome in outcomes)
        new = len(outcomes) - before - len(refused)
        click.echo(f"Orders carried out: {new} now, {before} before, {len(refused)} refused.")


def _tell(code: str, sentence: str, hint: str = "") -> None:
    """For whoever reads what we print by a program, in place of the object that they asked for."""
    click.echo(error_json(sys.argv[1:], code, sentence, hint), nl=False)


def _interrupt(number: int, frame: object) -> NoReturn:
    raise KeyboardInterrupt


def main() -> NoReturn:
    """The program: an error becomes words here, and nowhere else."""
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        base(standalone_mode=False, prog_name="attune base")
    except click.ClickException as error:
        error.show()
        _tell("usage", error.format_message())
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo("attune base: stopped; what is not finished is finished next time.", err=True)
        _tell("stopped", "Stopped.")
        sys.exit(130)
    except KitError as error:
        click.echo(f"attune base: {error}", err=True)
        _tell(error.code, error.sentence, error.hint)
        sys.exit(error.exit_status)
    except OSError as error:
        click.echo(f"attune base: {error.filename}: {error.strerror}.", err=True)
        _tell("failed", f"{error.filename}: {error.strerror}.")
        sys.exit(1)
    sys.exit(0)


if __name__ == "__main__":
    main()
