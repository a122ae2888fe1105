"""Commands on a kit: check it, accept a finished one."""

from pathlib import Path

import click

from appliance.commands.options import CONFIG, PATH


@click.command()
@CONFIG
@click.option("--json", "as_json", is_flag=True, help="One object: ok, findings.")
def doctor(config: Path, as_json: bool) -> None:
    """Check each part of this kit, and say what to do.

    Ends with status 1 if something is bad. It opens no camera and changes nothing here; at base it
    tries whether the service's store refuses to let this kit delete.
    """
    import json

    import msgspec

    from appliance.config import load_config
    from appliance.records.clock import SystemClock
    from appliance.selftest.doctor import examine
    from appliance.selftest.findings import Machine, ask

    machine = Machine(Path("/"), SystemClock(), ask)
    bad = False
    found = []
    for finding in examine(load_config(config), machine):
        bad = bad or finding.verdict == "bad"
        found.append(msgspec.to_builtins(finding))
        if not as_json:
            mark = {"good": "good ", "look": "LOOK ", "bad": "BAD  "}[finding.verdict]
            click.echo(f"{mark} {finding.what}: {finding.saw}")
            if finding.do:
                click.echo(f"      {finding.do}")
    if as_json:
        click.echo(json.dumps({"ok": not bad, "findings": found}))
    click.get_current_context().exit(1 if bad else 0)


@click.command()
@CONFIG
@click.option("--minutes", type=click.FloatRange(0, 45), default=45, show_default=True)
@click.option(
    "--report",
    type=PATH,
    metavar="FILE",
    default=Path("attune-acceptance.json"),
    show_default=True,
    help="Write the report here.",
)
def hardware(config: Path, minutes: float, report: Path) -> None:
    """Accept a finished kit: camera, button, light, microphone, a long film, a pulled plug.

    The kit's own recorder films, with settings of its own for as long as this lasts, and is put
    back by itself. Stay beside the kit: you are told when to press. After the plug was pulled give
    the same command again; it goes on from there.
    """
    import msgspec

    from appliance.config import load_config
    from appliance.records.files import to_json
    from appliance.selftest.acceptance import Acceptance, Person, Virtual
    from appliance.selftest.seen import Step

    def tell(line: Step) -> None:
        click.echo(f"{'ok    ' if line.ok else 'FAILED'}  {line.name}\n        {line.saw}")

    settings = load_config(config)
    hand = Virtual() if settings.camera == "scene" else Person(click.echo)
    run = Acceptance(settings, hand, minutes, tell)
    try:
        ok = run.run()
    finally:
        if run.steps:
            text = msgspec.json.format(to_json(run.report()), indent=1)
            report.write_text(text.decode() + "\n")
    if run.report().units != "installed":
        click.echo("Not the installed units: this says nothing of their sandboxes and memory.")
    for one in run.report().measures:
        mark = {"good": "ok    ", "bad": "FAILED", "unknown": "?     "}[one.verdict]
        click.echo(f"{mark}  {one.what}\n        {one}")
    click.echo(f"{'Accepted' if ok else 'Not accepted'}. The report is in {report}.")
    click.get_current_context().exit(0 if ok else 1)


@click.command()
@click.option(
    "-o", "--out", type=PATH, metavar="FILE", help="Write it here; without, only its SHA-256."
)
def viewer(out: Path | None) -> None:
    """The viewer: one HTML file that opens shared clips and locked copies in any browser.

    Prints its SHA-256, which stands in docs/viewer.md too: a file of another one is not ours.
    """
    from appliance.records.files import save
    from appliance.viewer import NAME, digest
    from appliance.viewer import viewer as file

    if out is not None:
        save(out, file(), mode=0o644)
    click.echo(f"{digest()}  {out or NAME}")
