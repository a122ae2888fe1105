"""`roster` and `cases`: who is of the service, which kits, and who works with which family."""

from datetime import UTC, datetime

import click
import msgspec

from appliance.base.cases import every_case
from appliance.base.commands.families import why_held
from appliance.base.commands.telling import AS_JSON, tell
from appliance.base.roster import NamedKit, NamedPerson, Names, load_names, save_names
from appliance.base.service import Service, Work
from appliance.protocol.roster import Role, Roster
from appliance.records.clock import SystemClock

_ROLES = click.Choice(["practitioner", "supervisor", "lead"])


@click.command()
@click.option("--publish", is_flag=True, help="Sign one: from now on kits follow it.")
@click.option("--person", default="", metavar="NAME", help="Somebody, by the name on their card.")
@click.option("--kit", default="", metavar="KIT", help="A kit, by its id.")
@click.option("--called", metavar="WORDS", help="What colleagues call this person, or this kit.")
@click.option("--role", type=_ROLES, help="What this person does.")
@click.option(
    "--lost-since",
    "lost",
    metavar="DAY",
    help="Since when nobody knows where this kit is; `never` when it is here again.",
)
@AS_JSON
@click.pass_obj
def roster(
    service: Service,
    publish: bool,
    person: str,
    kit: str,
    called: str | None,
    role: Role | None,
    lost: str | None,
    as_json: bool,
) -> None:
    """Say who is of the service and which kits; name them; and sign that for the kits.

    People are those enrolled here, and so are kits. Once a roster is published `serve` renews it
    each week, and whenever somebody comes or leaves. Kits learn from it who left, and one that has
    heard nothing for 90 days films no more until it was at base. A service that publishes none
    works without.

    \b
    Example:
      attune base /srv/attune/store -i KEYS roster --kit KIT --called "Blue, Leeds"
    """
    if bool(person) and bool(kit):
        raise click.UsageError("Name a --person or a --kit, one at a time.")
    if (called is not None and not (person or kit)) or (role and not person):
        raise click.UsageError("--called goes with --person or --kit, --role with --person.")
    if lost and not kit:
        raise click.UsageError("--lost-since goes with --kit.")
    names = load_names(service.folder)
    if person:
        names = _with_person(service, names, person, called, role)
    elif kit:
        names = _with_kit(service, names, kit, called, lost)
    with service.at_work() as work:
        if person or kit:
            save_names(service.folder, names)
        now = SystemClock().read().wall
        if publish and work.rosters.newest() is None:
            service.publish_roster(work, now)
        service.renew_roster(work, now)
        signed = work.rosters.newest()
    tell(as_json, "\n".join(_in_words(service, names, signed)), roster=signed, names=names)


@click.command()
@AS_JSON
@click.pass_obj
def cases(service: Service, as_json: bool) -> None:
    """List the families' cases: who works with each, and whether it is withdrawn or held, and why.

    Why a case is held is read with the service's opening key; elsewhere it says where it stands.

    \b
    Example:
      attune base /srv/attune/store -i KEYS cases
    """
    names = load_names(service.folder)
    with service.at_work(rehearse=True) as work:
        work.desk.holds.hear()
        found = [_case(work, case) for case in every_case(work.store)]
    lines = [
        f"{one['case']}  {one['state']}  "
        + (", ".join(map(names.person, one["people"])) or "nobody is known to work here")
        + "".join(f"\n    Held: {why}" for why in one["held"])
        for one in found
    ]
    tell(as_json, "\n".join(lines) or "No family's case is here.", cases=found)


def _case(work: Work, case: str) -> dict[str, str | list[str]]:
    closing = work.ledger.closing(case)
    held = [
        why_held(work, name)["why"]
        for name, hold in work.desk.holds.all().items()
        if hold.case == case
    ]
    state = "withdrawn" if closing else "open"
    if held:
        state = f"{state}, held"
    people = sorted(work.voices.people_of(case))
    return {"case": case, "state": state, "people": people, "held": held}


def _with_person(
    service: Service, names: Names, person: str, called: str | None, role: Role | None
) -> Names:
    known = {card.name for card in (*service.practitioners(), *service.former())}
    if person not in known:
        raise click.UsageError(f"There is no {person} here: enrol CARD first.")
    before = names.people.get(person, NamedPerson())
    named = NamedPerson(name=before.name if called is None else called, role=role or before.role)
    return msgspec.structs.replace(names, people=names.people | {person: named})


def _with_kit(
    service: Service, names: Names, kit: str, called: str | None, lost: str | None
) -> Names:
    if kit not in {card.id for card in service.kits()}:
        raise click.UsageError(f"Kit {kit} is not enrolled: enrol kit.json first.")
    before = names.kits.get(kit, NamedKit())
    since = before.lost
    if lost:
        since = None if lost == "never" else _day(lost)
    named = NamedKit(name=before.name if called is None else called, lost=since)
    return msgspec.structs.replace(names, kits=names.kits | {kit: named})


def _day(text: str) -> datetime:
    try:
        return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError as error:
        raise click.UsageError("--lost-since is a day, as 2027-01-31, or `never`.") from error


def _in_words(service: Service, names: Names, signed: Roster | None) -> list[str]:
    people = [
        f"{names.person(card.name)}: {names.people.get(card.name, NamedPerson()).role}"
        for card in service.practitioners()
    ]
    kits = []
    for card in service.kits():
        since = names.kits.get(card.id, NamedKit()).lost
        kits.append(
            f"Kit {names.kit(card.id)}" + (f": lost since {since:%d %B %Y}" if since else "")
        )
    if signed is None:
        last = "No roster is signed: roster --publish signs one."
    else:
        last = (
            f"Roster {signed.number} of {signed.at:%d %B %Y}, until {signed.ends:%d %B %Y}. "
            "`serve` renews it."
        )
    return [*people, *kits, last]
