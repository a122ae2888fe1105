"""Commands on films: open one, check what is there, cut a clip or a still."""

import contextlib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from appliance.commands.options import (
    ACCESS,
    FILE,
    KEYS,
    KIT_KEYS,
    PATH,
    given_passphrase,
    identities_in,
    opened_output,
    passphrase_options,
)
from appliance.errors import BadInput, Incomplete

if TYPE_CHECKING:
    from fractions import Fraction

    from appliance.records.signing import Verifier
    from appliance.verifying import Place


class _Seconds(click.ParamType["Fraction"]):
    """Seconds of a film as an exact fraction: 0.1 is a tenth."""

    name = "seconds"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> "Fraction":
        from fractions import Fraction

        if isinstance(value, str) and not re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", value):
            self.fail(f"{value!r} is not a number of seconds, such as 12.5.", param, ctx)
        return Fraction(value)


_SECONDS = _Seconds()


@click.command("open")
@click.argument("recording")
@KEYS
@passphrase_options
@KIT_KEYS
@ACCESS
@FILE
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
    identities = identities_in(keys, given_passphrase(passphrase_file, passphrase_fd))
    with _fetched(recording, access) as directory:
        case = case_directory(directory, read_manifest(directory))
        secrets = open_case_identities(case, identities)
        derived = case.derived / directory.resolve().name
        verifiers = keys_given(kit_keys)[0]
        opening = open_recording(directory, secrets, verifiers, check=True, derived=derived)
        with contextlib.closing(opening) as opened:
            with opened_output(out, secret=True) as plain:
                write_film(opened, plain)
            missing = opened.missing
    if missing:
        first, *others = map(str, missing)
        raise Incomplete("\n".join([f"The film was written, but is not whole. {first}", *others]))


@click.command()
@click.argument("place", metavar="PATH|URL")
@KIT_KEYS
@ACCESS
def verify(place: str, kit_keys: tuple[str, ...], access: Path | None) -> None:
    """Check what a kit says happened: films against their signed manifests, logs as chains.

    No key that opens a film is needed. PATH is a recording or a kit's home, URL a store. With the
    service's folder of cards as --kit-key, what people and the service signed at a store is
    checked as well: orders, holds, answers, revocations, audits. Which of its keys count is said by
    the newest of the service's cards. Without the kit's own key from elsewhere nothing is proven,
    and the status is 3; it is 1 where something does not hold, and the first such link is named.

    \b
    Example:
      attune verify /srv/attune/store --kit-key KEYS
    """
    from appliance import verifying

    verdict = verifying.verify(_place(place, access), *keys_given(kit_keys))
    for finding in verdict.findings:
        click.echo(f"{finding.state:10}  {finding.what}: {finding.words}")
    if verdict.broken:
        raise BadInput(verdict.sentence, "Keep everything as it is, and ask who had the kit.")
    if not verdict.proven:
        hint = "" if verdict.keys else "Give the kit's public key from elsewhere with --kit-key."
        raise Incomplete(verdict.sentence, hint)
    click.echo(verdict.sentence)


@click.command()
@click.argument("film", type=PATH)
@click.option(
    "--from", "start", type=_SECONDS, required=True, help="Where the clip begins, in seconds."
)
@click.option(
    "--to",
    "end",
    type=_SECONDS,
    required=True,
    help="Where the clip ends, in seconds; this time is not in it.",
)
@FILE
def cut(film: Path, start: "Fraction", end: "Fraction", out: Path) -> None:
    """Cut an exact clip from a plain film: what is seen and heard between the marks, and nothing
    else.

    It begins with the picture that stands there, also where the camera was off or froze. If the
    film breaks off before the second mark, the rest is written, and the status is 3.
    """
    from appliance.media.apart import Apart, PlainFile

    with open(film, "rb") as source, opened_output(out, secret=True) as clip:
        made, data = Apart().cut(PlainFile(source), start, end)
        clip.write(data)
    if made.end < end - 1:
        raise Incomplete(
            "The clip was written, but the film breaks off at %(end)s s.",
            "Was the film copied whole? Fetch it again from where it was made.",
            end=f"{float(made.end):.3f}",
        )


@click.command()
@click.argument("film", type=PATH)
@click.option("--at", type=_SECONDS, required=True, help="The time of the frame, in seconds.")
@FILE
def still(film: Path, at: "Fraction", out: Path) -> None:
    """Write the frame that is seen in a plain film at a given time as a JPEG."""
    from appliance.media.apart import Apart, PlainFile

    with open(film, "rb") as source, opened_output(out, secret=True) as picture:
        picture.write(Apart().still(PlainFile(source), at)[0])


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

    from appliance.stores import fetch, open_store, split_film_url
    from appliance.stores.access import load_access

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
    from appliance.verifying import Folder

    if "://" in text and not text.startswith("file:"):
        from appliance.stores import open_store
        from appliance.stores.access import load_access

        return open_store(text, load_access(access))
    folder = _folder(text)
    if not folder.is_dir():
        raise BadInput(f"{text} is not a folder.", "Give a recording, a kit's home or a store.")
    return Folder(folder)


def keys_given(given: Sequence[str]) -> tuple[list["Verifier"], list[str]]:
    """The public keys, each written out, in a file, or all that lie in a folder; and the text of
    every card, those of the service among them."""
    from appliance.records.files import Home
    from appliance.verifying import is_numbered_card, parse_key

    found: list[Verifier] = []
    cards: list[str] = []
    for key in given:
        path, texts = Path(key), [key]
        if path.is_dir():
            # What else lies beside a service's keys is no card.
            kinds = ("*.pub", Home(path, path).kit_card.name, f"cards/{'[0-9]' * 4}")
            files = sorted({one for kind in kinds for one in path.rglob(kind)})
            texts = [one.read_text() for one in files if one.name != "service-setup.pub"]
        elif path.is_file():
            texts = [path.read_text()]
        numbered = [text for text in texts if is_numbered_card(text)]
        keys = [parse_key(text) for text in texts if text not in numbered]
        if not any(keys) and not numbered:
            raise BadInput(f"There is no card (*.pub, kit.json) of what signs in {path}.")
        found += [made for made in keys if made is not None and made not in found]
        cards += texts
    return found, cards
