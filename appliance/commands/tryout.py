"""Commands to try Attune on this computer: a rehearsal, a demonstration, the measures."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from appliance.commands.options import PATH, needs

if TYPE_CHECKING:
    from appliance.selftest.faults import FaultKind


_SCENE = (
    "appliance.selftest.rehearsal",
    "There is no scene to film on this kit.",
    "Install attune-kit-scene, on a kit that films no family.",
)
_SERVICE = (
    "appliance.base",
    "What the service runs is not on this computer, and nobody stands in for it.",
    "Install attune-base.",
)


@click.command()
@click.option("--film", type=PATH, metavar="FILE", help="The scene: a film (default: test card).")
@click.option(
    "--minutes",
    type=click.FloatRange(0.17, 60),
    default=0.25,
    show_default=True,
    help="The agreed limit of a film.",
)
@click.option(
    "--stock-age", metavar="COMMAND", help="Another age program, to open what Attune sealed."
)
@click.option(
    "--fault",
    "faults",
    type=click.Choice(["light", "camera", "frames", "disk", "clock", "sound"]),
    multiple=True,
    help="Bring about this fault while filming, instead of a whole visit. Can be repeated.",
)
@click.option("--json", "as_json", is_flag=True, help="One object with every step.")
def rehearse(
    film: Path | None,
    minutes: float,
    stock_age: str | None,
    faults: tuple["FaultKind", ...],
    as_json: bool,
) -> None:
    """Walk through a whole visit on this computer and say what was seen.

    Real processes, real film, real keys; only the family is missing. Ends with status 1 if a
    promise was broken.
    """
    needs(*_SCENE)
    needs(*_SERVICE)
    from appliance.selftest import faults as rehearsed
    from appliance.selftest import rehearsal
    from appliance.selftest.seen import Step

    def show(step: Step) -> None:
        if not as_json:
            click.echo(f"{'ok    ' if step.ok else 'BROKEN'}  {step.name}\n        {step.saw}")

    if faults:
        ok, steps = rehearsed.rehearse(film, faults, show)
    else:
        ok, steps = rehearsal.rehearse(film, minutes, stock_age, show)
    if as_json:
        click.echo(rehearsal.as_json(ok, steps))
    elif ok:
        click.echo(f"Every promise was kept in {len(steps)} steps.")
    sys.exit(0 if ok else 1)


@click.command()
@click.option(
    "--scene",
    type=click.Choice(["family", "card"]),
    default="family",
    show_default=True,
    help="An adult and a child who play, or the test card.",
)
@click.option("--film", type=PATH, metavar="FILE", help="Play this film in place of the scene.")
@click.option("--port", type=click.IntRange(0, 65535), default=8443, show_default=True)
def demo(scene: str, film: Path | None, port: int) -> None:
    """Run a kit on this computer to try out, until Ctrl-C."""
    import tempfile

    needs(*_SCENE)
    needs(*_SERVICE)
    from appliance.config import FAMILY
    from appliance.selftest.demo import demonstrate

    with tempfile.TemporaryDirectory(prefix="attune-demo-") as root:
        try:
            drawn = FAMILY if scene == "family" else ""
            demonstrate(Path(root), film, drawn, port, click.echo)
        except KeyboardInterrupt:
            click.echo("\nEverything is stopped and removed.")


@click.command()
@click.argument("part", required=False)
@click.option("--json", "as_json", is_flag=True, help="One object with the machine and every row.")
@click.option("--write", "page", type=PATH, metavar="FILE", help="Update this page of measures.")
@click.option("--real-time", is_flag=True, help="With record: take as long as the film lasts.")
@click.option(
    "--objects", type=click.IntRange(100), metavar="N", help="With base: audit a store of so many."
)
@click.option(
    "--minutes", type=click.IntRange(1), metavar="N", help="With import: time a film of so many."
)
def bench(
    part: str | None,
    as_json: bool,
    page: Path | None,
    real_time: bool,
    objects: int | None,
    minutes: int | None,
) -> None:
    """Measure PART (default: every part) on this machine, as ratios in one run.

    Ends with status 1 if a row does not reach what it must.
    """
    import json
    from datetime import UTC, datetime

    needs("appliance.bench", "The measures are not on this computer.", "Install attune-bench.")
    from appliance import bench

    if part not in (None, *bench.PARTS):
        raise click.UsageError(f"There is no part {part}; there are: {', '.join(bench.PARTS)}.")
    if real_time and part != "record":
        raise click.UsageError("Only record can be measured in real time.")
    if objects and part != "base":
        raise click.UsageError("--objects goes with base.")
    if minutes and part != "import":
        raise click.UsageError("--minutes goes with import.")
    given = {"real_time": real_time, "objects": objects, "minutes": minutes}
    options = {name: value for name, value in given.items() if value}
    names = [part] if part else bench.PARTS
    measured = {name: bench.find(name)(**options) for name in names}
    rows = [row for found in measured.values() for row in found]
    if page is not None:
        before = page.read_text() if page.exists() else ""
        page.write_text(bench.report(measured, str(datetime.now(UTC).date()), before))
    if as_json:
        click.echo(json.dumps(bench.as_object(rows)))
    else:
        for row in rows:
            click.echo(
                f"{'ok    ' if row.met else 'MISSED'}  {row.name}, against {row.against}: "
                f"{row.ratio} ({row.reach})"
            )
    sys.exit(0 if all(row.met for row in rows) else 1)
