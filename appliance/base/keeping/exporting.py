"""One case, opened for somebody who has a right to it: a person who asks what is held of them, or a
court.

Films, clips, documents as text, what the logs say of the case, and who is in which film. What opens
the case is in memory alone. What is opened goes into a folder on an encrypted disk or stick, or
into one file that is sealed again, for whoever is to have it; anywhere else a lost stick would be a
film of a family in a stranger's hands.
"""

import contextlib
import errno
import io
import json
import os
import re
import shutil
import tarfile
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import msgspec

from appliance.age.sealing import Recipient, SealedWriter
from appliance.age.unsealing import Identity, unseal
from appliance.base.keeping.kit_logs import kit_logs
from appliance.errors import BadInput, CaseWithdrawn, Incomplete, NotOpened, NotPossible
from appliance.film.manifest import Manifest, read_manifest
from appliance.film.recording import open_recording
from appliance.protocol.cards import KitCard
from appliance.protocol.names import numbered
from appliance.protocol.objects import case_object, tombstone_object
from appliance.records.files import ID, CaseFolder, names_in, paths_in, read_plain, saving
from appliance.records.signing import Verifier
from appliance.stores import fetch
from appliance.stores.store import ServiceStore, is_there
from appliance.vault.cases import open_case_identities
from appliance.vault.documents import Document, open_document

_SEALED = re.compile(r"[a-z0-9][a-z0-9._-]*\.age")
PARTS, FILMS = ("identity-", "documents/", "clips/", "derived/"), ("recordings", "imports")
"""What of a case is opened, by the beginning of its name; and the folders of its films."""
_COPIED_AT_ONCE = 1 << 20
_SMALL = 64 << 20
"""Bytes: no document and no clip is longer."""


class Content(Protocol):
    """What is read to its end, from the beginning."""

    def read(self, most: int = -1, /) -> bytes: ...


class Place(Protocol):
    """Where what is opened goes."""

    def put(self, name: str, size: int, content: Content) -> None:
        """Put all `size` bytes of it there, under a path with slashes. Raises OSError."""


@dataclass
class Exported:
    """What was given out, and what of the case could not be."""

    films: int = 0
    documents: int = 0
    clips: int = 0
    log_lines: int = 0
    bytes: int = 0
    problems: list[str] = field(default_factory=list)
    """Sentences."""


class _Who(msgspec.Struct):
    """Of a person in a consent, what says who they are."""

    name: str
    relation: str = ""
    on_behalf_of: str = ""


class _Consent(msgspec.Struct):
    people: tuple[_Who, ...] = ()


@dataclass
class Exporter:
    """Opens one case. Raises from `export` what stores and unsealing raise."""

    store: ServiceStore
    identities: Sequence[Identity]
    """The service's own that open."""
    people: Sequence[Verifier]
    """Whoever works or worked here: their documents are believed."""
    kits: Sequence[KitCard]
    case: str
    progress: Callable[[str], object] = lambda _name: None
    _done: Exported = field(default_factory=Exported)
    _consents: dict[str, _Consent] = field(default_factory=dict)
    _films: list[str] = field(default_factory=list)
    _rows: list[str] = field(default_factory=list)

    def export(self, place: Place) -> Exported:
        """Put everything into `place`. What cannot be opened is told, and the rest follows. Raises
        CaseWithdrawn, NoMatch, SendInterrupted, SendRefused, OSError."""
        if is_there(self.store, tombstone_object(self.case)):
            raise CaseWithdrawn(
                "This family has withdrawn, and the service's keys of the case are gone.",
                "Nothing of it can be opened, here or anywhere.",
            )
        with tempfile.TemporaryDirectory(prefix="attune-sealed-") as folder:
            sealed = CaseFolder(Path(folder) / case_object(self.case, "").rstrip("/"))
            for part in PARTS:
                fetch(self.store, case_object(self.case, part), Path(folder))
            if not sealed.exists():
                raise BadInput("There is no such case at this store.", "attune base STORE cases")
            secrets = open_case_identities(sealed, self.identities)
            self._documents(sealed, secrets, place)
            self._clips(sealed, secrets, place)
            for kind in FILMS:
                for film in self._films_there(kind):
                    self._film(Path(folder), sealed, kind, film, secrets, place)
            self._logs(place)
        self._text(place, "who-is-in-which-film.txt", "\n".join(self._rows or ["No film."]))
        self._text(place, "read-me.txt", self._told())
        return self._done

    def _documents(self, sealed: CaseFolder, secrets: Sequence[Identity], place: Place) -> None:
        for path in paths_in(sealed.documents, _SEALED):
            with self._told_of(f"documents/{path.name}"):
                name = numbered(path.name)
                if name is None:
                    raise BadInput("It has no name that a document has.")
                content = read_plain(path, _SMALL)
                found = open_document(content, secrets, self.people, self.case, name)
                with contextlib.suppress(msgspec.MsgspecError):
                    consent = msgspec.json.decode(found.body, type=_Consent)
                    self._consents[found.version.digest] = consent
                self._text(place, f"documents/{path.stem}.txt", _in_words(found))
                self._done.documents += 1

    def _clips(self, sealed: CaseFolder, secrets: Sequence[Identity], place: Place) -> None:
        for path in paths_in(sealed.clips, _SEALED):
            with self._told_of(f"clips/{path.name}"):
                content = unseal(read_plain(path, _SMALL), secrets)
                self._put(place, f"clips/{path.stem}", len(content), io.BytesIO(content))
                self._done.clips += 1

    def _films_there(self, kind: str) -> list[str]:
        place = case_object(self.case, f"{kind}/")
        names = {entry.name.removeprefix(place) for entry in self.store.list(place)}
        return sorted({film for film in (n.partition("/")[0] for n in names) if ID.fullmatch(film)})

    def _film(
        self, folder: Path, sealed: CaseFolder, kind: str, film: str,
        secrets: Sequence[Identity], place: Place,
    ) -> None:  # fmt: skip
        """One film, fetched still sealed and opened straight into its place."""
        directory = sealed / kind / film
        self._films.append(film)
        with self._told_of(f"Film {film}"):
            fetch(self.store, case_object(self.case, f"{kind}/{film}/"), folder)
            signers = [*self.people, *(kit.verifying_key() for kit in self.kits)]
            manifest = read_manifest(directory, signers)
            name = f"films/{manifest.started.started:%Y-%m-%d-%H%M}-{film}.mp4"
            self._rows += [name, *self._who(manifest), ""]
            opening = open_recording(
                directory, secrets, signers, check=True, derived=sealed.derived / film,
                menders=self.people,
            )  # fmt: skip
            with contextlib.closing(opening) as opened, opened.film.open() as content:
                self._put(place, name, opened.film.size, content)
                self._done.films += 1
                self._done.problems += [f"{name}: {part}" for part in opened.missing]
        shutil.rmtree(directory, ignore_errors=True)

    def _who(self, manifest: Manifest) -> Iterator[str]:
        """Who had agreed to be in it: everybody of the consent that it was filmed under."""
        consent = self._consents.get(manifest.started.consent)
        if consent is None:
            yield "    The consent that it was filmed under could not be read. Look who is seen."
        for one in consent.people if consent else ():
            child = f", and for {one.on_behalf_of}" if one.on_behalf_of else ""
            yield f"    {one.name} ({one.relation}){child}"

    def _logs(self, place: Place) -> None:
        """Every line that names this case or a film of it."""
        names = {self.case, *self._films}
        found: list[str] = []
        for kit in self.kits:
            with self._told_of(f"Logs of kit {kit.id}"):
                logs = kit_logs(self.store, self.identities, kit)
                found += [
                    f"{entry.wall:%Y-%m-%d %H:%M:%S} {kit.id} {process} {entry.event} "
                    + " ".join(f"{name}={value}" for name, value in sorted(entry.ids.items()))
                    for process, entries in logs.entries.items()
                    for entry in entries
                    if names & set(entry.ids.values())
                ]
                self._done.problems += [f"Kit {kit.id}: {problem}" for problem in logs.problems]
        self._done.log_lines = len(found)
        self._text(place, "log.txt", "\n".join(sorted(found)) or "No kit has sent its logs.")

    def _told(self) -> str:
        done = self._done
        missing = [f"- {problem}" for problem in done.problems] or ["- Nothing is missing."]
        return "\n".join([
            f"What the service holds of case {self.case}, opened for somebody who asked for it.",
            "",
            f"Films: {done.films} (films/). Clips: {done.clips} (clips/). Documents: "
            f"{done.documents} (documents/). Lines of kits' logs: {done.log_lines} (log.txt).",
            "Other people are seen and named too: who-is-in-which-film.txt says who had agreed to",
            "be in each film. Think of their rights before you hand this on.",
            "",
            "Not here, or not whole:",
            *missing,
        ])  # fmt: skip

    def _text(self, place: Place, name: str, text: str) -> None:
        data = f"{text}\n".encode()
        self._put(place, name, len(data), io.BytesIO(data))

    def _put(self, place: Place, name: str, size: int, content: Content) -> None:
        self.progress(name)
        try:
            place.put(name, size, content)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                raise
            raise NotPossible(
                "There is not enough room for the whole case. Nothing was left there.",
                f"It ended at {name}, which takes {size:,} bytes. Take a larger stick.",
            ) from error
        self._done.bytes += size

    @contextlib.contextmanager
    def _told_of(self, what: str) -> Iterator[None]:
        """What is wrong with one thing keeps none of the others."""
        try:
            yield
        except (BadInput, NotOpened, Incomplete) as error:
            self._done.problems.append(f"{what}: {error.sentence}")


# --- Where it goes ------------------------------------------------------------------------------


class Nowhere:
    """A rehearsal: everything is opened and read, and nothing is written."""

    def put(self, name: str, size: int, content: Content) -> None:
        while content.read(_COPIED_AT_ONCE):
            pass


class _Folder:
    def __init__(self, root: Path) -> None:
        self._root = root

    def put(self, name: str, size: int, content: Content) -> None:
        path = self._root / name
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with open(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as file:
            shutil.copyfileobj(content, file, _COPIED_AT_ONCE)
            file.flush()
            os.fsync(file.fileno())


class _Archive:
    def __init__(self, archive: tarfile.TarFile) -> None:
        self._archive = archive

    def put(self, name: str, size: int, content: Content) -> None:
        entry = tarfile.TarInfo(name)
        entry.size, entry.mode = size, 0o600
        self._archive.addfile(entry, content)


@contextlib.contextmanager
def into_folder(out: Path, system: Path = Path("/sys")) -> Iterator[Place]:
    """A new folder on an encrypted disk. It has its name once everything is in it; whatever ends
    it before leaves nothing. Raises BadInput, NotPossible."""
    if out.exists():
        raise BadInput(f"{out} is there already.", "Name a folder that is not there yet.")
    if not is_encrypted(out.parent, system):
        raise BadInput(
            f"{out.parent} does not lie on an encrypted disk, as far as can be seen here. Nothing "
            "was opened.",
            "Use a stick that is encrypted (LUKS), or seal it for whoever is to have it: "
            "-o NAME.age --to CARD",
        )
    new = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
    try:
        yield _Folder(new)
        new.rename(out)
    finally:
        shutil.rmtree(new, ignore_errors=True)


@contextlib.contextmanager
def into_file(out: Path, recipient: Recipient) -> Iterator[Place]:
    """One tar archive, sealed for somebody. Likewise. Raises OSError."""
    if out.exists():
        raise BadInput(f"{out} is there already.", "Name a file that is not there yet.")
    with saving(out, 0o600) as file:
        writer = SealedWriter(file, [recipient])
        with tarfile.open(fileobj=_Sealing(writer), mode="w|") as archive:
            yield _Archive(archive)
        writer.close()


class _Sealing(io.RawIOBase):
    """What `tarfile` writes to."""

    def __init__(self, writer: SealedWriter) -> None:
        self._writer = writer

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._writer.write(data)
        return len(data)


def is_encrypted(folder: Path, system: Path = Path("/sys")) -> bool:
    """Whether what is written here goes through dm-crypt on its way to the disk: by the names that
    device mapper gives, dm/uuid (Linux, Documentation/ABI/testing/sysfs-block-dm). In doubt not."""
    try:
        device = os.stat(folder).st_dev
    except OSError:
        return False
    block = system / "dev" / "block" / f"{os.major(device)}:{os.minor(device)}"
    return block.exists() and _is_encrypted(block)


def _is_encrypted(block: Path) -> bool:
    block = block.resolve()  # The kernel has links here.
    with contextlib.suppress(OSError):
        if (block / "dm" / "uuid").read_text().startswith("CRYPT-"):
            return True
    below = names_in(block / "slaves") if (block / "slaves").is_dir() else []
    # A mirror is as closed as the most open of its disks.
    return bool(below) and all(_is_encrypted(block / "slaves" / name) for name in below)


# --- Words --------------------------------------------------------------------------------------


def _in_words(document: Document) -> str:
    """Everything that it says, a line each, as somebody reads it."""
    said = json.loads(document.body)
    kind = str(said.pop("attune", "")).partition("/")[0]
    name = document.version.name
    lines = [f"{kind.replace('-', ' ').capitalize()}, number {name.number}"]
    if document.version.at is not None:
        lines.append(f"Written {document.version.at:%Y-%m-%d %H:%M} (UTC)")
    return "\n".join([*lines, "", *_lines(said)])


def _lines(said: Any, indent: str = "") -> Iterator[str]:
    if isinstance(said, dict):
        for name, value in said.items():
            yield from _named(name.replace("_", " "), value, indent)
    elif isinstance(said, list):
        for value in said:
            yield from _named("-", value, indent)
    else:
        yield f"{indent}{said}"


def _named(name: str, value: Any, indent: str) -> Iterator[str]:
    sign = name if name == "-" else f"{name}:"
    if isinstance(value, dict | list) and value:
        yield f"{indent}{sign}"
        yield from _lines(value, f"{indent}    ")
    else:
        if isinstance(value, bool):
            value = "yes" if value else "no"
        elif name == "signature" and value:
            value = "drawn on the screen"
        yield f"{indent}{sign} {'not said' if value in (None, '', [], {}) else value}"
