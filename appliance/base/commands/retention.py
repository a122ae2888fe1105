"""`retention`: how long the store keeps what was sent, and what is removed then."""

from collections import Counter
from dataclasses import asdict

import click

from appliance.base.commands.telling import AS_JSON, DRY_RUN, tell
from appliance.base.keeping.days import days_kept, keep_for
from appliance.base.keeping.retention import REMOVED, CaseKept, Retention, State, purge
from appliance.base.service import Service, Work
from appliance.base.status import SILENT
from appliance.base.status import kits as seen_kits
from appliance.base.voices import Waits
from appliance.records.clock import SystemClock

_WORDS = {
    "due": "has been due since {until:%d %B %Y}. Its kit still has time to remove it.",
    "overdue": "has been due since {until:%d %B %Y}, and its kit has not removed it.",
    "silent": "has been due since {until:%d %B %Y}, but one of its kits has not been heard of "
    "since then, or for a long time. Nothing is removed. Find the kit and unlock it.",
    "held": "is held, or a hold on it waits for your word. Nothing is removed.",
    "closed-due": "was closed on {until:%d %B %Y}, and nobody can open it any more. Its time here "
    "is over.",
}
_COUNTED: dict[State, str] = {
    "open": "without a day yet",
    "kept": "to be kept for now",
    "due": "due",
    "overdue": "overdue",
    "silent": "waiting for a silent kit",
    "held": "held",
    "closed": "closed not long ago",
    "closed-due": "closed long enough",
}


@click.command()
@click.option(
    "--days",
    type=click.IntRange(1, 3650),
    metavar="N",
    help="So long after the day on which they may go, films are removed here: from now on, until "
    "another number is set. 30 at first.",
)
@click.option("--yes", is_flag=True, help="Remove, or keep for a shorter time, without asking.")
@DRY_RUN
@AS_JSON
@click.pass_obj
def retention(service: Service, days: int | None, yes: bool, rehearse: bool, as_json: bool) -> None:
    """List what is due, overdue or waits for a silent kit, and remove what may go.

    Removed is everything of a case that was closed N days ago, and of one that is open and
    overdue: it is withdrawn first. Under a hold, or where a kit has not said that it may go,
    nothing is. Each is signed for, as purged/CASE at the store. Counts are without names. N is
    signed and stays set; a smaller one is set only when somebody says yes.

    \b
    Example:
      attune base /srv/attune/store -i KEYS retention --days 30 --dry-run
    """
    with service.at_work(rehearse) as work:
        before = days_kept(work.ledger)
        days = days or before
        work.desk.holds.hear()
        found = list(_looked_at(service, work, days).cases())
    if days != before and not rehearse:
        before = _set(service, before, days, yes, as_json)
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
    many = [f"{number['cases']} {_COUNTED[state]}" for state, number in counts.items()]
    lines.append(f"Cases: {', '.join(many) or 'none'}. Removed just now: {len(removed)}.")
    would = [one.case for one in going]
    shown = [asdict(one) for one in found if one.state in _WORDS]
    tell(as_json, "\n".join(lines), days=days, days_set=before, counts=counts,
         would_remove=would, removed=removed, cases=shown)  # fmt: skip


def _set(service: Service, before: int, days: int, yes: bool, as_json: bool) -> int:
    """Set another number of days; returns the number that is set then."""
    if days < before and not yes:
        if as_json:
            return before
        click.confirm(
            f"From now on films go {days} days after their day, and no longer {before}. Is that "
            "right?",
            abort=True,
            err=True,
        )
    with service.at_work() as work:
        keep_for(work.store, work.keys.signer, work.ledger, days, SystemClock().read().wall)
    return days


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


def _counts(found: list[CaseKept]) -> dict[State, dict[str, int]]:
    totals: dict[State, Counter[str]] = {}
    for one in found:
        totals.setdefault(one.state, Counter()).update(
            cases=1, films=one.films, objects=one.objects, bytes=one.bytes
        )
    return {state: dict(total) for state, total in sorted(totals.items())}
