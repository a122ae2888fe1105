"""`init` and `serve`: a store made ready, and the rounds in which orders are carried out there."""

import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path

import click
import msgspec

from appliance.base import people
from appliance.base.commands.telling import AS_JSON, DRY_RUN, PATH, tell
from appliance.base.desk import Outcome
from appliance.base.orders import make_new
from appliance.base.service import Service, Work
from appliance.base.voices import Waits
from appliance.base.watch.rights import unreadable
from appliance.base.watch.telling import beat
from appliance.errors import BadSignature, KitError, SendFailed
from appliance.records.clock import SystemClock
from appliance.stores.store import ServiceStore

REST_SECONDS = 10.0
_KITS_EVERY = 360
"""Rounds between two looks whether a kit sends that nobody enrolled: it reads every kit's card."""

_SWEPT_EVERY = 8640
"""Rounds between two looks for what tries that were cut have left: it lists the whole store."""
_CUT = timedelta(days=1)
"""A try that began so long ago is not under way any more."""

UNFINISHED = ("refused", "failed", "asks")
"""What somebody should look at."""
_STAYS = (
    "The sealed films stay in the store; without these keys nobody can open them, the service "
    "included.\nA backup or snapshot of the store is not reached from here: remove the keys there "
    "too."
)


@click.command()
@AS_JSON
@click.pass_obj
def init(service: Service, as_json: bool) -> None:
    """Make an empty store this service's own, so that its kits send there. Safe to repeat.

    \b
    Example:
      attune base /srv/attune/store -i KEYS init
    """
    only = service.only
    with service.opened() as store:
        make_new(store, only)
        for finding in unreadable(service.store):
            click.echo(finding.sentence, err=True)
        tell(as_json, f"{store.url} is this service's store.", store=store.url)


@click.command()
@click.option("--once", is_flag=True, help="Carry out what is there, then end.")
@click.option("--heartbeat", type=PATH, metavar="FILE", help="Leave word there of each round.")
@DRY_RUN
@AS_JSON
@click.pass_obj
def serve(
    service: Service, once: bool, heartbeat: Path | None, rehearse: bool, as_json: bool
) -> None:
    """Carry out what families have asked for and kits have brought, and sign for it.

    Goes on until it is stopped, a round every ten seconds. Kits that send here without having been
    enrolled are named. With --json each round is an object. A single round ends with status 1 if
    an order was refused, could not be carried out or waits for the service's yes, or if the roster
    could not be renewed.

    \b
    Example:
      attune base /srv/attune/store -i KEYS serve --once
    """
    shown: set[Outcome] = set()
    unknown: list[str] = []
    found: list[str] = []
    rounds = 0
    once = once or rehearse
    service.stays = not once
    while True:
        try:
            with service.at_work(rehearse) as work:
                outcomes = work.desk.work()
                if rounds % _SWEPT_EVERY == 0 and not once:
                    _sweep(work.store, service)
                roster = _renewed(service, work)
                if rounds % _KITS_EVERY == 0:
                    names = [entry.name for entry in work.store.list("kits/")]
                    found = people.unknown_kits(work.store, names, service.folder)
        except SendFailed as error:
            _beat(heartbeat, service, error.code)
            if once:
                raise
            click.echo(f"attune base: {error}", err=True)
        else:
            unfinished = sum(o.state in UNFINISHED for o in outcomes)
            _beat(heartbeat, service, roster.code if roster else "", unfinished)
            _print(outcomes if once else [o for o in outcomes if o not in shown], as_json, once)
            if roster:
                click.echo(f"The roster was not renewed: {roster}", err=True)
            for name in found:
                if name not in unknown:
                    click.echo(f"Kit {name} sends here and is not enrolled (enrol).", err=True)
            unknown = found
            shown.update(outcomes)
            if once:
                sys.exit(bool(unfinished or roster))
        rounds += 1
        time.sleep(REST_SECONDS)


def _renewed(service: Service, work: Work) -> KitError | None:
    """Sign another roster if it is time; returns why that failed. It keeps nobody's order."""
    try:
        service.renew_roster(work, SystemClock().read().wall)
    except KitError as error:
        return error
    return None


def _sweep(store: ServiceStore, service: Service) -> None:
    try:
        swept = store.sweep(service.clock.read().wall - _CUT)
    except SendFailed as error:
        # It takes room, and keeps nobody's order.
        click.echo(f"What tries that were cut have left stays: {error}", err=True)
        return
    if swept:
        click.echo(f"Removed {swept} unfinished files of tries that were cut.", err=True)


def _beat(path: Path | None, service: Service, error: str, unfinished: int = 0) -> None:
    if path is not None:
        beat(path, service.clock.read().wall, error, unfinished)


def _print(outcomes: Sequence[Outcome], as_json: bool, once: bool) -> None:
    unfinished = [outcome for outcome in outcomes if outcome.state in UNFINISHED]
    if as_json:
        answer = {"ok": not unfinished, "orders": [asdict(outcome) for outcome in outcomes]}
        if once or outcomes:
            click.echo(msgspec.json.encode(answer).decode())
        return
    for outcome in outcomes:
        if sentence := in_words(outcome):
            click.echo(sentence, err=outcome in unfinished)
    if any(o.state == "done" and not (o.film or o.share) for o in outcomes):
        click.echo(_STAYS)
    if any(outcome.code == BadSignature.code for outcome in unfinished):
        click.echo(
            "A refused order changes nothing. If its practitioner is yours, put their .pub file "
            "into practitioners/ beside the keys and run this again.",
            err=True,
        )
    if once:
        new, before, refused, asks = (
            sum(outcome.state in states for outcome in outcomes)
            for states in (("done",), ("done-before", "held"), ("refused", "failed"), ("asks",))
        )
        waiting = f", {asks} waiting for your yes" if asks else ""
        click.echo(f"Orders carried out: {new} now, {before} before, {refused} refused{waiting}.")


def in_words(outcome: Outcome) -> str:
    """What became of an order; '' where there is nothing new to say."""
    if outcome.state == "refused" and outcome.code == Waits.code:
        return (
            f"A hold waits for your yes, {outcome.order}: {outcome.why} Nothing of its case is "
            "removed meanwhile. If it is right, place one yourself: hold CASE --until DAY. Then, "
            f"or if it is not: refuse {outcome.order}"
        )
    if outcome.state == "refused":
        return f"Order {outcome.order} was refused: {outcome.why}"
    if outcome.state == "failed":
        return f"Order {outcome.order} could not be carried out yet: {outcome.why}"
    if outcome.state == "asks":
        what = f"film {outcome.film} of case" if outcome.film else "case"
        film = f" --film {outcome.film} --kit {outcome.kit or 'KIT'}" if outcome.film else ""
        return (
            f"Order {outcome.order} for {what} {outcome.case} waits for your yes: {outcome.why} "
            "Ask the family's practitioner. If it is right, order it yourself, with the verb "
            f"withdraw: withdraw {outcome.case}{film} If it is not: refuse {outcome.order}"
        )
    if outcome.state == "held" and outcome.film:
        return f"Film {outcome.film} is withdrawn, and held: it is removed when the hold ends."
    if outcome.state == "held":
        return f"Case {outcome.case} is withdrawn, and held: its keys wait for the hold's end."
    if outcome.state != "done":
        return ""
    files = f"Removed just now: {len(outcome.removed)} files."
    if outcome.film:
        return f"Film {outcome.film} is withdrawn. {files}"
    if outcome.share:
        return f"Share {outcome.share} has ended. {files}"
    names = ", ".join(name.rpartition("/")[2] for name in outcome.removed) or "none"
    return f"Case {outcome.case} is withdrawn. Keys removed just now: {names}."
