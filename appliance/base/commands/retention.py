"""`retention`: how long the store keeps what was sent, and what is removed then."""

from collections import Counter
from dataclasses import asdict

import click

from appliance.base.commands.telling import AS_JSON, DRY_RUN, tell
from appliance.base.keeping.retention import REMOVED, CaseKept, Retention, purge
from appliance.base.service import Service, Work
from appliance.base.status import SILENT
from appliance.base.status import kits as seen_kits
from appliance.base.voices import Waits
from appliance.records.clock import SystemClock

_WORDS = {
    "due": "may go since {until:%d %B %Y}; its kit has still time to remove it.",
    "overdue": "may go since {until:%d %B %Y}, and its kit has not removed it.",
    "silent": "may go since {until:%d %B %Y}, and a kit of it was not heard of since, or for long: "
    "nothing is removed. Find the kit, and unlock it.",
    "held": "is under a hold, or under one that waits for your word: nothing is removed.",
    "closed-due": "is closed since {until:%d %B %Y}: what nobody opens any more goes.",
}


@click.command()
@click.option(
    "--days",
    type=click.IntRange(1, 3650),
    default=30,
    show_default=True,
    metavar="N",
    help="So long after the day on which they may go, films are removed here.",
)
@click.option("--yes", is_flag=True, help="Remove without asking once more.")
@DRY_RUN
@AS_JSON
@click.pass_obj
def retention(service: Service, days: int, yes: bool, rehearse: bool, as_json: bool) -> None:
    """List what is due, overdue or waits for a silent kit, and remove what may go.

    Removed is everything of a case that was closed N days ago, and of one that is open and
    overdue: it is withdrawn first. Under a hold, or where a kit has not said that it may go,
    nothing is. Each is signed for, as purged/CASE at the store. Counts are without names.

    \b
    Example:
      attune base /srv/attune/store -i KEYS retention --days 30 --dry-run
    """
    with service.at_work(rehearse) as work:
        work.desk.holds.hear()
        found = list(_looked_at(service, work, days).cases())
    going = [one for one in found if one.state in REMOVED]
    counts = _counts(found)
    lines = [
        f"Case {one.case} " + _WORDS[one.state].format(until=one.until)
        for one in found
        if one.state in _WORDS
    ]
    if going and not (yes or rehearse or as_json):
        click.echo("\n".join(lines), err=True)
        click.confirm(f"Remove everything of {len(going)} cases, for good?", abort=True, err=True)
        lines = []
    removed: list[str] = []
    if going and not rehearse and (yes or not as_json):
        removed = [one.case for one in going if _remove(service, one.case, days)]
    lines.append(
        "Cases here: "
        + ", ".join(f"{state} {number['cases']}" for state, number in counts.items())
        + f". Removed: {len(removed)}."
    )
    would = [one.case for one in going]
    tell(as_json, "\n".join(lines), counts=counts, would_remove=would, removed=removed,
         cases=[asdict(one) for one in found if one.state in _WORDS])  # fmt: skip


def _looked_at(service: Service, work: Work, days: int) -> Retention:
    kits = service.kits()
    heard = {kit.id: kit.heard for kit in seen_kits(work.store, kits, service.folder)}
    holds = work.desk.holds
    people = [card.verifying_key() for card in (*service.practitioners(), *service.former())]
    signers = [*people, *(kit.verifying_key() for kit in kits)]
    now = SystemClock().read().wall
    held = {hold.case for hold in holds.all().values()}
    # One whose signer had left is none yet, and may be right: nothing is removed meanwhile.
    held |= {name.split("/")[1] for name, error in holds.refused if isinstance(error, Waits)}
    return Retention(work.store, holds.voices, work.ledger, held, heard, signers, days, SILENT, now)


def _remove(service: Service, case: str, days: int) -> bool:
    """Remove everything of one case, if it still may go: a hold may have come meanwhile."""
    with service.at_work() as work:
        work.desk.holds.hear()
        kept = next(_looked_at(service, work, days).cases(case), None)
        if kept is None or kept.state not in REMOVED:
            return False
        if kept.state == "overdue":
            order = work.desk.withdraw_case(case)
            done = next((o for o in work.desk.work() if o.order == order), None)
            if done is None or done.state not in ("done", "done-before"):
                return False
        purge(work.store, work.keys.signer, work.ledger, kept, SystemClock().read().wall)
        return True


def _counts(found: list[CaseKept]) -> dict[str, dict[str, int]]:
    totals: dict[str, Counter[str]] = {}
    for one in found:
        totals.setdefault(one.state, Counter()).update(
            cases=1, films=one.films, objects=one.objects, bytes=one.bytes
        )
    return {state: dict(total) for state, total in sorted(totals.items())}
