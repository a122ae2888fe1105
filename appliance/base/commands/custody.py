"""`card` and `reseal`: which keys are the service's, the next card, and what follows from it."""

import sys
from datetime import UTC, datetime, time
from pathlib import Path

import click

from appliance.base.cases import every_case
from appliance.base.commands.telling import AS_JSON, DRY_RUN, PATH, tell
from appliance.base.custody import anew
from appliance.base.custody.keys import ServiceKeys, keep_card, put_cards
from appliance.base.custody.next import Change, next_card, public_half
from appliance.base.custody.reasons import reseal_reasons
from appliance.base.service import Service
from appliance.errors import SendInterrupted, SendRefused
from appliance.protocol.cards import CardChain
from appliance.protocol.enrolment import LARGEST_CARD
from appliance.records.clock import SystemClock
from appliance.records.files import read_text
from appliance.stores.store import ServiceStore
from appliance.vault.keys import PrivateKeys

_PUBS = {"multiple": True, "type": PATH, "metavar": "FILE.pub"}


@click.command()
@click.option("--next", "make", is_flag=True, help="Make the next card. It needs a root's key.")
@click.option("--root", "roots", help="A root, in place of those that stand.", **_PUBS)  # type: ignore[arg-type]
@click.option("--signing", help="A key that signs from now on.", **_PUBS)  # type: ignore[arg-type]
@click.option("--until", type=click.DateTime(["%Y-%m-%d"]), metavar="DAY", help="Its last day.")
@click.option("--opening", help="A key that opens, in place of those that stand.", **_PUBS)  # type: ignore[arg-type]
@click.option("--end", "ended", multiple=True, metavar="NAME", help="This key signs no more.")
@click.option(
    "--without",
    multiple=True,
    metavar="NAME",
    help="This key was stolen: nothing that it signed counts, whatever day it says.",
)
@click.option("--take", type=PATH, metavar="FILE", help="Go by a card that was made elsewhere.")
@AS_JSON
@click.pass_obj
def card(
    service: Service,
    /,
    make: bool,
    roots: tuple[Path, ...],
    signing: tuple[Path, ...],
    until: datetime | None,
    opening: tuple[Path, ...],
    take: Path | None,
    as_json: bool,
    **names: tuple[str, ...],
) -> None:
    """Show the service's newest card, and see that the store has it. Kits follow by themselves.

    With --next it makes another beside the root's key, and reaches for no store: carry the file to
    where base runs, and give it there with --take.

    \b
    Example:
      attune base /srv/attune/store -i KEYS card --next --signing new.pub --until 2027-12-31
    """
    if make:
        change = Change(
            roots=[public_half(path, "root") for path in roots],
            signing=[public_half(path, "signing") for path in signing],
            until=datetime.combine(until, time.max, UTC) if until else None,
            opening=[public_half(path, "opening") for path in opening],
            ended=names["ended"],
            without=names["without"],
        )
        keys = service.only
        note = next_card(keys, change, SystemClock().read().wall)
        made = keep_card(service.folder, keys.chain.followed_by(note))
        tell(as_json, f"Made: {made}. Give it to base: card --take {made.name}", made=str(made))
        return
    if any((roots, signing, until, opening, *names.values())):
        raise click.UsageError("What is changed goes with --next.")
    if take is not None:
        _take(service, take)
    with service.at_store() as (store, keys):
        put = put_cards(store, service.folder, keys)
    _show(keys.chain, put, as_json)


@click.command()
@DRY_RUN
@AS_JSON
@click.pass_obj
def reseal(service: Service, rehearse: bool, as_json: bool) -> None:
    """Seal each case's key to those who open by the newest card; the old files go last. Why a case
    is held likewise.

    It needs the keys that opened until now beside the new ones, and may be cut short and run again:
    what is done is left alone. A kit that had not heard of the new card may send another old file:
    run it again when every kit has been in contact. It ends with status 1 if a case stays closed.

    \b
    Example:
      attune base /srv/attune/store -i KEYS reseal
    """
    with service.at_work(rehearse) as work:
        looked = [
            _resealed(work.store, work.keys, case, rehearse)
            for case in every_case(work.store)
            if anew.has_keys(work.ledger, case)
        ]
        reasons = dict(reseal_reasons(work.store, work.keys))
    done = [one for one in looked if one.key or one.removed]
    closed = [one for one in looked if one.why]
    would = "would be " if rehearse else ""
    lines = [f"Case {one.case}: {len(one.removed)} key files {would}removed." for one in done]
    lines += [f"Case {one.case} was left alone: {one.why}" for one in closed]
    lines.append(f"{len(looked)} cases: {len(done)} {would}sealed anew, {len(closed)} not opened.")
    unread = sorted(hold for hold, opened in reasons.items() if not opened)
    lines += [
        f"Why case {hold.partition('/')[0]} is held: no key here opens it." for hold in unread
    ]
    tell(as_json, "\n".join(lines), ok=not closed, cases=[*done, *closed], reasons_unread=unread)
    sys.exit(bool(closed))


def _resealed(store: ServiceStore, keys: PrivateKeys, case: str, rehearse: bool) -> anew.Resealed:
    """One case that cannot be done keeps no other from it."""
    try:
        return anew.reseal(store, keys, case, rehearse)
    except (SendInterrupted, SendRefused) as error:
        return anew.Resealed(case, why=error.sentence)


def _take(service: Service, path: Path) -> None:
    keys = service.only
    note = read_text(path, LARGEST_CARD)
    if note not in keys.chain.notes:
        keep_card(service.folder, keys.chain.followed_by(note))
        if isinstance(keys, ServiceKeys):
            keys.follow(note)
        else:
            # From one card to two: what is here is looked at anew.
            del service.own


def _show(chain: CardChain, put: list[str], as_json: bool) -> None:
    signing = {key.name: str(until or "") for key, until in chain.signing.items()}
    lines = [f"Card {chain.number} of {chain.first.name}."]
    lines += [
        f"Signs: {name}" + (f", until {until}" if until else ", without an end")
        for name, until in signing.items()
    ]
    lines += [f"Signs the next card: {root.name}" for root in chain.roots]
    lines += [f"Opens: {str(key)[:24]}..." for key in chain.sealing_keys()]
    lines += [f"Put at the store: card {number}" for number in put]
    tell(as_json, "\n".join(lines), number=chain.number, signing=signing, put=put)
