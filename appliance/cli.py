"""`attune`: the commands, each a small function that calls its room.

Exit status: 0 done, 1 failed, 2 not understood, 3 incomplete (what is there was delivered). An
error is told on standard error as what happened, why, and what to do; there is never a traceback.
A command that needs a heavy room imports it itself, so that `attune seal` starts at once.
"""

import contextlib
import os
import re
import signal
import stat
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NoReturn, TypeVar

import click

from appliance.age.keyfile import load_identities
from appliance.age.recipients import parse_recipient
from appliance.age.scrypt import ScryptIdentity, ScryptRecipient
from appliance.age.sealing import Recipient, SealedWriter
from appliance.age.unsealing import Identity, unsealed
from appliance.errors import BadInput, BadPayload, Incomplete, KitError, NotPossible, error_json

if TYPE_CHECKING:
    from fractions import Fraction

    from appliance.protocol.cards import Role
    from appliance.records.signing import Verifier
    from appliance.selftest.faults import Mishap
    from appliance.verifying import Place

_BLOCK = 1 << 19
_INTERRUPTED = 128 + signal.SIGINT
_AGE_WORK_LIMIT = 22
"""What `age` itself tries when a passphrase opens a file; the kit's own key files stay below."""

_C = TypeVar("_C", bound=Callable[..., object])


def main() -> NoReturn:
    """The console script."""
    # So that what was half written is cleared away, as it is after Ctrl-C.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    status = run(sys.argv[1:])
    # Everything is written and closed; Python would first take itself apart, piece by piece, and
    # that takes as long as to seal 15 MiB.
    os._exit(status)


def run(arguments: Sequence[str]) -> int:
    """Run one command and return its exit status. The one place where an error becomes words."""
    try:
        # Not attune.main(): that would take Incomplete, an EOFError, for a Ctrl-D.
        with attune.make_context("attune", list(arguments)) as context:
            attune.invoke(context)
        sys.stdout.flush()
    except click.exceptions.Exit as done:
        return done.exit_code
    except click.ClickException as error:
        error.show()
        _tell(arguments, "usage", error.format_message())
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        _say("Stopped.")
        _tell(arguments, "stopped", "Stopped.")
        return _INTERRUPTED
    except KitError as error:
        _say(str(error))
        _tell(arguments, error.code, error.sentence, error.hint)
        return error.exit_status
    except BrokenPipeError:
        # The reader of our output went away; Python must not try to flush to it again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        _say(_os_sentence(error))
        _tell(arguments, "failed", *_os_sentence(error).split("\n", 1))
        return 1
    except Exception as error:
        if os.environ.get("ATTUNE_TRACEBACK") == "1":
            traceback.print_exc()
        sentence = f"A fault in Attune itself: {type(error).__name__}: {error}"
        hint = (
            "Please report this line and the command that gave it. ATTUNE_TRACEBACK=1 in front of "
            "the command says where it is."
        )
        _say(f"{sentence}\n{hint}")
        _tell(arguments, "fault", sentence, hint)
        return 1
    return 0


def _tell(arguments: Sequence[str], code: str, sentence: str, hint: str = "") -> None:
    """For whoever reads what we print by a program: they get an object whatever happens."""
    sys.stdout.write(error_json(arguments, code, sentence, hint))
    sys.stdout.flush()


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="attune", message="%(version)s")
def attune() -> None:
    """Film what a family agreed to, sealed before it touches the card."""


class _Seconds(click.ParamType["Fraction"]):
    """Seconds of a film, exactly as they are written: a tenth is a tenth."""

    name = "seconds"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> "Fraction":
        from fractions import Fraction

        if isinstance(value, str) and not re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", value):
            self.fail(f"{value!r} is not a number of seconds, such as 12.5.", param, ctx)
        return Fraction(value)


def passphrase_options(command: _C) -> _C:
    """`-p`, `--passphrase-file` and `--passphrase-fd`: never the passphrase itself."""
    for option in (
        click.option("--passphrase-fd", type=int, metavar="N", help="Read it from a descriptor."),
        click.option("--passphrase-file", type=_PATH, metavar="FILE", help="Read it from a file."),
        click.option("-p", "--passphrase", "prompt", is_flag=True, help="Ask for a passphrase."),
    ):
        command = option(command)
    return command


_PATH = click.Path(path_type=Path)
_KEYS = click.option(
    "-i", "--identity", "keys", multiple=True, type=_PATH, metavar="FILE", help="A key file."
)
_OUT = click.option("-o", "--output", "out", type=_PATH, metavar="OUT", help="Write to this file.")
_FILE = click.option(
    "-o", "--output", "out", type=_PATH, metavar="OUT", required=True, help="Write to this file."
)
_KIT_KEYS = click.option(
    "--kit-key",
    "kit_keys",
    multiple=True,
    metavar="KEY",
    help="A kit's public key (name+hash+key), or a file with it or with the kit's card.",
)
_ACCESS = click.option(
    "--access", type=_PATH, metavar="FILE", help="How to get into a store, and its pin."
)
_SECONDS = _Seconds()
_IN = click.argument("source", metavar="[IN]", type=_PATH, default=Path("-"))


@attune.command()
@click.option("--x25519", is_flag=True, help="A key that every age tool knows; not post-quantum.")
@click.option(
    "--role",
    type=click.Choice(["practitioner", "service"]),
    default="practitioner",
    show_default=True,
    help="Whose keys these are.",
)
@passphrase_options
@click.option("-o", "--output", "out", type=_PATH, metavar="FILE", help="Also writes FILE.pub.")
def keygen(
    x25519: bool,
    role: "Role",
    prompt: bool,
    passphrase_file: Path | None,
    passphrase_fd: int | None,
    out: Path | None,
) -> None:
    """Make somebody's keys: one that opens, and one that signs.

    FILE holds the secret half, under a passphrase if one is asked for; FILE.pub the public half, to
    give away. Neither is ever written over a file that is there.
    """
    from appliance.records.files import save_new, to_json
    from appliance.vault.keys import PrivateKeys, lock

    passphrase = _given_passphrase(passphrase_file, passphrase_fd)
    if prompt and passphrase is None:
        passphrase = _ask_new_passphrase()
    keys = PrivateKeys.generate(role, x25519)
    data = keys.text().encode() if passphrase is None else lock(keys, passphrase)
    if out is None:
        _refuse_terminal(data)
        sys.stdout.buffer.write(data)
        return
    public = out.with_name(out.name + ".pub")
    for path in (public, out):
        if path.exists():
            raise NotPossible(
                f"{path} is there already; keys are never written over others.",
                "Choose another name, or move the old keys away if nothing needs them any more.",
            )
    save_new(out, data, mode=0o600)
    save_new(public, to_json(keys.card()) + b"\n", mode=0o644)


@attune.command()
@click.argument("file", type=_PATH)
@passphrase_options
@click.option("--new-passphrase-file", "new_file", type=_PATH, metavar="FILE", help="The new one.")
@click.option("--new-passphrase-fd", "new_fd", type=int, metavar="N", help="The new one.")
def passphrase(
    file: Path,
    prompt: bool,
    passphrase_file: Path | None,
    passphrase_fd: int | None,
    new_file: Path | None,
    new_fd: int | None,
) -> None:
    """Put the key in FILE under another passphrase, or under its first one.

    Only who knows the old passphrase can do it. Copies of FILE elsewhere stay under the old one.
    """
    from appliance.vault.keys import change_passphrase

    old = _asking(_given_passphrase(passphrase_file, passphrase_fd), "Passphrase")
    new = _given_passphrase(new_file, new_fd)
    change_passphrase(file, old, new if new is not None else _ask_new_passphrase())


@attune.command()
@click.option(
    "-r", "--recipient", "to", multiple=True, help="A recipient (age1...) or somebody's .pub file."
)
@passphrase_options
@_OUT
@_IN
def seal(
    to: tuple[str, ...],
    prompt: bool,
    passphrase_file: Path | None,
    passphrase_fd: int | None,
    out: Path | None,
    source: Path,
) -> None:
    """Seal IN (or standard input) so that only the recipients can open it."""
    recipients = [_recipient(text) for text in to]
    passphrase = _given_passphrase(passphrase_file, passphrase_fd)
    if prompt and passphrase is None:
        passphrase = _ask_new_passphrase()
    if passphrase is not None:
        from appliance.vault.passphrases import check_passphrase

        check_passphrase(passphrase)
        recipients.append(ScryptRecipient(passphrase))
    if not recipients:
        raise click.UsageError("Say whom to seal it to: -r RECIPIENT, or -p for a passphrase.")
    with opened_input(source) as file, opened_output(out) as sealed:
        writer = SealedWriter(sealed, recipients)
        block = memoryview(bytearray(_BLOCK))
        while count := file.readinto(block):
            writer.write(block[:count])
        writer.close()


@attune.command()
@_KEYS
@passphrase_options
@_OUT
@_IN
def unseal(
    keys: tuple[Path, ...],
    prompt: bool,
    passphrase_file: Path | None,
    passphrase_fd: int | None,
    out: Path | None,
    source: Path,
) -> None:
    """Open IN (or standard input), which was sealed to a key or under a passphrase.

    With -i the passphrase is the key file's, without it that of IN. If the end of IN is missing or
    damaged, what is authentic is given, and with -o it is called OUT.partial.
    """
    if not keys and not prompt and passphrase_file is None and passphrase_fd is None:
        raise click.UsageError("Say what opens it: -i FILE, or -p for a passphrase.")
    given = _given_passphrase(passphrase_file, passphrase_fd)
    identities = _identities(keys, given)
    if not keys:
        identities.append(ScryptIdentity(_asking(given, "Passphrase")(), limit=_AGE_WORK_LIMIT))
    with opened_input(source) as file:
        # Before the output: where the head fails, nothing is made.
        chunks = unsealed(file, identities)
        with opened_output(out, secret=True) as plain:
            for chunk in chunks:
                plain.write(chunk)


@attune.command("open")
@click.argument("recording")
@_KEYS
@passphrase_options
@_KIT_KEYS
@_ACCESS
@_FILE
def open_film(
    recording: str,
    keys: tuple[Path, ...],
    prompt: bool,
    passphrase_file: Path | None,
    passphrase_fd: int | None,
    kit_keys: tuple[str, ...],
    access: Path | None,
    out: Path,
) -> None:
    """Join and open a film: RECORDING is its directory on a kit, or its address in a store, such
    as STORE/cases/CASE/recordings/FILM.

    -i is a key of a practitioner of the case or of the service; the passphrase is that file's. If
    a part of the film is missing, the rest is written and plays, and the status is 3. With
    --kit-key only a film that this kit has signed is opened.
    """
    from appliance.film.manifest import read_manifest
    from appliance.film.recording import case_directory, open_recording, write_film
    from appliance.vault.cases import open_case_identities

    if not keys:
        raise click.UsageError("Say what opens it: -i FILE.")
    identities = _identities(keys, _given_passphrase(passphrase_file, passphrase_fd))
    with _fetched(recording, access) as directory:
        case = case_directory(directory, read_manifest(directory))
        secrets = open_case_identities(case, identities)
        derived = case / "derived" / directory.resolve().name
        verifiers = _kit_keys(kit_keys)
        opening = open_recording(directory, secrets, verifiers, check=True, derived=derived)
        with contextlib.closing(opening) as opened:
            with opened_output(out, secret=True) as plain:
                write_film(opened, plain)
            missing = opened.missing
    if missing:
        first, *others = map(str, missing)
        raise Incomplete("\n".join([f"The film was written, but is not whole. {first}", *others]))


@attune.command()
@click.argument("place", metavar="PATH|URL")
@_KIT_KEYS
@_ACCESS
def verify(place: str, kit_keys: tuple[str, ...], access: Path | None) -> None:
    """Check what a kit says happened: films against their signed manifests, logs as chains.

    No key that opens a film is needed. PATH is a recording or a kit's home, URL a store. Without
    the kit's own key from elsewhere nothing is proven, and the status is 3; it is 1 where
    something does not hold, and the first such link is named.
    """
    from appliance import verifying

    verdict = verifying.verify(_place(place, access), _kit_keys(kit_keys))
    for finding in verdict.findings:
        click.echo(f"{finding.state:10}  {finding.what}: {finding.words}")
    if verdict.broken:
        raise BadInput(verdict.sentence, "Keep everything as it is, and ask who had the kit.")
    if not verdict.proven:
        hint = "" if verdict.keys else "Give the kit's public key from elsewhere with --kit-key."
        raise Incomplete(verdict.sentence, hint)
    click.echo(verdict.sentence)


@attune.command()
@click.argument("film", type=_PATH)
@click.option("--from", "start", type=_SECONDS, required=True, help="The first moment in it.")
@click.option("--to", "end", type=_SECONDS, required=True, help="The first moment after it.")
@_FILE
def cut(film: Path, start: "Fraction", end: "Fraction", out: Path) -> None:
    """Cut an exact clip from a plain film: nothing from outside the marks is in it."""
    from appliance.media.apart import Apart, PlainFile

    with open(film, "rb") as source, opened_output(out, secret=True) as clip:
        clip.write(Apart().cut(PlainFile(source), start, end)[1])


@attune.command()
@click.argument("film", type=_PATH)
@click.option("--at", type=_SECONDS, required=True, help="The moment that is seen.")
@_FILE
def still(film: Path, at: "Fraction", out: Path) -> None:
    """Write the frame that is seen at a moment of a plain film as a JPEG."""
    from appliance.media.apart import Apart, PlainFile

    with open(film, "rb") as source, opened_output(out, secret=True) as picture:
        picture.write(Apart().still(PlainFile(source), at)[0])


@attune.command()
@click.option("--film", type=_PATH, metavar="FILE", help="The scene: a film (default: test card).")
@click.option(
    "--minutes",
    type=click.FloatRange(0.17, 60),
    default=0.25,
    show_default=True,
    help="The agreed limit of a film.",
)
@click.option("--stock-age", metavar="COMMAND", help="Another age, to open what we sealed.")
@click.option(
    "--fault",
    "faults",
    type=click.Choice(["light", "camera", "frames", "disk", "clock", "sound"]),
    multiple=True,
    help="Let this go wrong while filming, in place of a whole visit; more than once for more.",
)
@click.option("--json", "as_json", is_flag=True, help="One object with every step.")
def rehearse(
    film: Path | None,
    minutes: float,
    stock_age: str | None,
    faults: tuple["Mishap", ...],
    as_json: bool,
) -> None:
    """Walk through a whole visit on this computer and say what was seen.

    Real processes, real film, real keys; only the family is missing. Ends with status 1 if a
    promise was broken.
    """
    _needs_the_scene()
    from appliance.selftest import faults as mishaps
    from appliance.selftest import rehearsal

    def show(step: rehearsal.Step) -> None:
        if not as_json:
            click.echo(f"{'ok    ' if step.ok else 'BROKEN'}  {step.name}\n        {step.saw}")

    if faults:
        ok, steps = mishaps.rehearse(film, faults, show)
    else:
        ok, steps = rehearsal.rehearse(film, minutes, stock_age, show)
    if as_json:
        click.echo(rehearsal.as_json(ok, steps))
    elif ok:
        click.echo(f"Every promise was kept in {len(steps)} steps.")
    sys.exit(0 if ok else 1)


@attune.command()
@click.option("--film", type=_PATH, metavar="FILE", help="The scene: a film (default: test card).")
@click.option("--port", type=click.IntRange(0, 65535), default=8443, show_default=True)
def demo(film: Path | None, port: int) -> None:
    """Run a kit on this computer to try out, until Ctrl-C."""
    import tempfile

    _needs_the_scene()
    from appliance.selftest.demo import demonstrate

    with tempfile.TemporaryDirectory(prefix="attune-demo-") as root:
        try:
            demonstrate(Path(root), film, port, click.echo)
        except KeyboardInterrupt:
            click.echo("\nEverything is stopped and removed.")


@attune.command()
@click.argument("part", required=False)
@click.option("--json", "as_json", is_flag=True, help="One object with the machine and every row.")
@click.option("--write", "page", type=_PATH, metavar="FILE", help="Renew this page of measures.")
@click.option("--real-time", is_flag=True, help="With record: take as long as the film lasts.")
def bench(part: str | None, as_json: bool, page: Path | None, real_time: bool) -> None:
    """Measure PART (default: every part) on this machine, as ratios in one run.

    Ends with status 1 if a row does not reach what it must.
    """
    import json
    from datetime import UTC, datetime

    from appliance import bench

    if part not in (None, *bench.PARTS):
        raise click.UsageError(f"There is no part {part}; there are: {', '.join(bench.PARTS)}.")
    if real_time and part != "record":
        raise click.UsageError("Only record can be measured in real time.")
    options = {"real_time": True} if real_time else {}
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


@attune.command()
@click.option(
    "--config",
    type=_PATH,
    metavar="FILE",
    default=Path("/etc/attune/attune.toml"),
    show_default=True,
    help="The kit's settings.",
)
@click.option("--json", "as_json", is_flag=True, help="One object: ok, findings.")
def doctor(config: Path, as_json: bool) -> None:
    """Look this kit over: each part, how it is, and what to do.

    Ends with status 1 if something is bad. It opens no camera and changes nothing here; at base it
    tries whether the service's store refuses to let this kit delete.
    """
    import json

    import msgspec

    from appliance.config import load_config
    from appliance.records.clock import SystemClock
    from appliance.selftest.doctor import Machine, ask, examine

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


@attune.command()
@click.option(
    "--config",
    type=_PATH,
    metavar="FILE",
    default=Path("/etc/attune/attune.toml"),
    show_default=True,
    help="The kit's settings.",
)
@click.option("--minutes", type=click.FloatRange(0, 45), default=45, show_default=True)
@click.option(
    "--place",
    type=_PATH,
    metavar="DIR",
    default=Path("/var/lib/attune-acceptance"),
    show_default=True,
    help="Where its own films lie until it is done; on the card that will hold the real ones.",
)
@click.option(
    "--report",
    type=_PATH,
    metavar="FILE",
    default=Path("attune-acceptance.json"),
    show_default=True,
    help="What to keep with the kit.",
)
def hardware(config: Path, minutes: float, place: Path, report: Path) -> None:
    """Accept a finished kit: camera, button, light, microphone, a long film, a pulled plug.

    Stop the kit's own services first, and stay beside it: you are told when to press. After the
    plug was pulled give the same command again; it goes on from there.
    """
    from appliance.config import load_config
    from appliance.selftest.acceptance import Acceptance, Line, Person, Virtual

    def tell(line: Line) -> None:
        click.echo(f"{'ok    ' if line.ok else 'FAILED'}  {line.name}\n        {line.saw}")

    settings = load_config(config)
    hand = Virtual() if settings.camera == "scene" else Person(click.echo)
    run = Acceptance(settings, place, hand, minutes, tell)
    try:
        ok = run.run()
    finally:
        report.write_text(run.report() + "\n")
    click.echo(f"{'Accepted' if ok else 'Not accepted'}. The report is in {report}.")
    click.get_current_context().exit(0 if ok else 1)


_PROGRAMS = {
    "recorder": ("firmware", "Run the recorder: camera, button, light."),
    "web": ("web_ui", "Run the page."),
    "sync": ("appliance.sync", "Send what is sealed to the service."),
    "base": ("appliance.base", "At base: carry out what families have asked for at the store."),
}
"""Programs of their own: started by name, for nothing may import them."""


def _program(name: str, module: str, promise: str) -> click.Command:
    @click.argument("options", nargs=-1, type=click.UNPROCESSED)
    def start(options: tuple[str, ...]) -> None:
        sys.stdout.flush()
        os.execv(sys.executable, [sys.executable, "-m", module, *options])  # noqa: S606

    # Its options are its own, --help among them.
    settings = {"ignore_unknown_options": True, "help_option_names": []}
    return click.command(name, help=promise, context_settings=settings)(start)


for _name, (_module, _promise) in _PROGRAMS.items():
    attune.add_command(_program(_name, _module, _promise))


@contextlib.contextmanager
def opened_input(source: Path) -> Iterator[Any]:
    """A buffered reader of a file, or of standard input for `-`."""
    if str(source) == "-":
        yield sys.stdin.buffer
        return
    with open(source, "rb") as file:
        yield file


@contextlib.contextmanager
def opened_output(out: Path | None, secret: bool = False) -> Iterator[BinaryIO]:
    """Where a command writes: under its final name only once it is whole and on the disk.

    What is authentic of an incomplete or damaged file stays as OUT.partial; any other end leaves
    nothing. `secret` keeps the file from other users. Without `out` it is standard output.
    """
    if out is None or str(out) == "-":
        if not secret:
            _refuse_terminal(b"\0")
        try:
            yield sys.stdout.buffer
        finally:  # Before the error is told: what is authentic is delivered.
            sys.stdout.buffer.flush()
        return
    if out.exists() and not stat.S_ISREG(out.stat().st_mode):
        with open(out, "wb") as device:
            yield device
        return
    temporary = out.with_name(f".{out.name}.{os.urandom(4).hex()}.new")
    mode = 0o600 if secret else 0o666
    name = None
    try:
        descriptor = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, mode)
    except OSError as error:
        raise NotPossible(
            f"{out} cannot be written: {error.strerror}.",
            "Check that its folder is there, and that you may write in it.",
        ) from error
    try:
        with os.fdopen(descriptor, "wb") as file:
            try:
                yield file
                name = out
            except (Incomplete, BadPayload):
                name = out.with_name(out.name + ".partial")
                raise
            finally:
                if name is not None:
                    from appliance.records.files import sync_directory

                    file.flush()
                    os.fsync(file.fileno())
                    os.replace(temporary, name)
                    sync_directory(out.parent)
    finally:
        temporary.unlink(missing_ok=True)


def _needs_the_scene() -> None:
    """What plays a scene is a package of its own: a kit films through its lens alone."""
    from importlib.util import find_spec

    if find_spec("appliance.selftest.rehearsal") is None:
        raise NotPossible(
            "There is no scene to film on this kit.",
            "Install attune-kit-scene, on a kit that films no family.",
        )


def _recipient(text: str) -> Recipient:
    if text.startswith("age1"):
        return parse_recipient(text)
    from appliance.protocol.cards import Card
    from appliance.records.files import load_fact

    card = load_fact(Path(text), Card)
    if card is None:
        raise BadInput(
            f"{text} is neither a recipient nor a file.",
            "Give age1..., or the .pub file that `attune keygen` made.",
        )
    return card.sealing_key()


def _folder(place: str) -> Path:
    """A directory given by its path or as a file:// URL."""
    from urllib.parse import unquote, urlsplit

    address = urlsplit(place)
    if address.scheme not in ("", "file") or address.netloc not in ("", "localhost"):
        raise BadInput(
            f"{place} is not a folder on this computer.",
            "Give a recording's folder, or fetch it from its store first.",
        )
    return Path(unquote(address.path) if address.scheme else place)


@contextlib.contextmanager
def _fetched(recording: str, access: Path | None) -> Iterator[Path]:
    """A recording's folder. What lies in a store other than a folder is fetched, still sealed, to
    a temporary folder that looks like the store."""
    if "://" not in recording or recording.startswith("file:"):
        yield _folder(recording)
        return
    import tempfile

    from appliance.stores import fetch, load_access, open_store, split_film_url

    url, case, film = split_film_url(recording)
    with (
        tempfile.TemporaryDirectory(prefix="attune-sealed-") as folder,
        contextlib.closing(open_store(url, load_access(access))) as store,
    ):
        for part in (f"cases/{case}/identity-", f"cases/{case}/derived/{film}/"):
            fetch(store, part, Path(folder))
        found = Path(folder) / "cases" / case / "recordings" / film
        if not fetch(store, f"cases/{case}/recordings/{film}/", Path(folder)):
            raise BadInput(
                "There is no such film in this store.",
                "Give STORE/cases/CASE/recordings/FILM; attune verify STORE lists them.",
            )
        yield found


def _place(text: str, access: Path | None) -> "Place":
    """A folder by its path or file:// URL, or another store."""
    from appliance.verifying import Folder, Stored

    if "://" in text and not text.startswith("file:"):
        from appliance.stores import load_access, open_store

        return Stored(open_store(text, load_access(access)))
    folder = _folder(text)
    if not folder.is_dir():
        raise BadInput(f"{text} is not a folder.", "Give a recording, a kit's home or a store.")
    return Folder(folder)


def _kit_keys(given: Sequence[str]) -> list["Verifier"]:
    """The kits' public keys, each given itself or as a file."""
    from appliance.verifying import parse_key

    return [parse_key(Path(key).read_text() if Path(key).is_file() else key) for key in given]


def _identities(keys: Sequence[Path], given: str | None) -> list[Identity]:
    """What lies in these key files; the passphrase of a locked one is `given` or asked for."""
    found: list[Identity] = []
    for path in keys:
        found += load_identities(path, _asking(given, f"Passphrase of {path.name}"))
    return found


def _given_passphrase(file: Path | None, descriptor: int | None) -> str | None:
    """The first line of a file or descriptor; None if neither was given."""
    if file is None and descriptor is None:
        return None
    if file is not None and descriptor is not None:
        raise click.UsageError("Give the passphrase in one way, not two.")
    source = file if descriptor is None else descriptor
    assert source is not None
    try:
        with open(source, encoding="utf-8") as stream:
            line = stream.readline().rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise BadInput("The passphrase is not text.", "Put it on the first line.") from error
    if not line:
        raise BadInput("There is no passphrase in its file.", "Put it on the first line.")
    return line


def _asking(given: str | None, what: str) -> Callable[[], str]:
    def ask() -> str:
        if given is not None:
            return given
        return str(click.prompt(what, hide_input=True, err=True))

    return ask


def _ask_new_passphrase() -> str:
    from appliance.vault.passphrases import check_passphrase, make_passphrase

    typed = str(
        click.prompt(
            "New passphrase (press Enter to be given six words)",
            hide_input=True,
            default="",
            show_default=False,
            err=True,
        )
    )
    if not typed:
        made = make_passphrase()
        click.echo(
            f"The passphrase is: {made}\nWrite it down now; it is not shown again.", err=True
        )
        return made
    check_passphrase(typed)
    if click.prompt("Once more", hide_input=True, err=True) != typed:
        raise BadInput("The two were not the same.", "Try again.")
    return typed


def _refuse_terminal(data: bytes) -> None:
    if sys.stdout.isatty() and (b"\0" in data or not data.isascii()):
        raise click.UsageError("That would fill the terminal with signs: use -o OUT, or a pipe.")


def _say(text: str) -> None:
    click.echo(f"attune: {text}", err=True)


def _os_sentence(error: OSError) -> str:
    name = f"{error.filename}: " if error.filename else ""
    return f"{name}{error.strerror or error}.\nCheck the name, the disk and who may write there."


def _interrupt(number: int, frame: object) -> NoReturn:
    raise KeyboardInterrupt
