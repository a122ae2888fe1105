"""Where things lie on the card, and writing them so that a pulled plug leaves the old or the new.

`Home` names every directory and who writes it; nothing else in the project spells a path. Facts
are JSON, read strictly: a field we do not know is a refusal, never ignored, because what crosses
a process may come from a process that was taken over.
"""

import base64
import contextlib
import errno
import fcntl
import io
import os
import re
import shutil
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from pathlib import Path, PosixPath
from typing import IO, Annotated, AnyStr, TypeVar

import msgspec

from appliance.errors import BadFile, BadInput, HomeInUse, KitError, NotPossible

LARGEST_FACT = 4 << 20
"""Bytes: no record of ours is larger."""
_USUAL = 16 << 10
MOST_NAMES = 1 << 17
"""No directory of ours has more in it."""

ID = re.compile(r"[a-z2-7]{16}")
_TEMPORARY = ".new"
_STRANGE = (errno.ENXIO, errno.ELOOP, errno.EACCES, errno.ENOTDIR, errno.ENAMETOOLONG)
"""What the system says where something else lies than a file: a link that leads nowhere, a pipe."""

Timestamp = Annotated[datetime, msgspec.Meta(tz=True)]
"""A time in a fact: one without its zone is refused, since comparing it would raise."""


def new_id() -> str:
    """A random name of 80 bits, 16 characters of base32: it says nothing of whom it stands for."""
    return base64.b32encode(os.urandom(10)).decode().lower()


def id_of(*parts: str) -> str:
    """The same id for the same parts, wherever it is asked for."""
    # OpenSSL is not loaded just to know where things lie: a recorder is ready before it has it.
    from hashlib import sha256

    digest = sha256("\n".join(parts).encode()).digest()
    return base64.b32encode(digest[:10]).decode().lower()


def checked_id(text: str) -> str:
    """`text` if it is an id, so that no name from outside can become a path. Raises BadFile."""
    if not ID.fullmatch(text):
        raise BadFile("That is not the name of anything on this kit.")
    return text


class Fact(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="attune"
):
    """A record on the card or between processes. Each kind has its own `tag`, so that none is ever
    taken for another."""


_F = TypeVar("_F", bound=Fact)
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What is raised for data that is no record, endlessly nested brackets among them."""


def to_json(fact: Fact) -> bytes:
    """One line of JSON without its newline; equal facts give equal bytes. Raises BadInput for text
    with half a character in it (a lone surrogate): no file can hold it."""
    try:
        return msgspec.json.encode(fact, order="deterministic")
    except UnicodeEncodeError as error:
        raise BadInput(
            "A letter of this text is not whole, so it was not kept.",
            "Write it again instead of pasting it.",
        ) from error


def lines(text: AnyStr) -> list[AnyStr]:
    """The lines of a text, without their newlines. Only a newline ends one.

    `splitlines` also splits at ten other characters, such as the line separator U+2028. People
    paste these and JSON keeps them, so it would cut a record in two amid somebody's words.
    """
    newline = "\n" if isinstance(text, str) else b"\n"
    found = text.split(newline)
    return found if found[-1] else found[:-1]


def from_json(data: bytes | str, kind: type[_F] | msgspec.json.Decoder[_F]) -> _F:
    """Read a fact strictly: of one kind, or of any that a decoder reads.

    Raises BadFile when a field is missing, unknown or of another type, and names the form of a fact
    that an older or newer version of this software wrote.
    """
    try:
        if isinstance(kind, msgspec.json.Decoder):
            return kind.decode(data)
        return msgspec.json.decode(data, type=kind, strict=True)
    except _UNREADABLE as error:
        if isinstance(kind, msgspec.json.Decoder):
            raise BadFile("This is not a record that belongs here: %(why)s.", why=error) from error
        form, ours = _form_of(data), str(kind.__struct_config__.tag)
        if form != ours and form.partition("/")[0] == ours.partition("/")[0]:
            raise BadFile(
                "This record has the form %(form)s, and this kit reads %(ours)s.",
                "If a newer kit wrote it, update this one. Nothing was changed or removed.",
                form=form[:40],
                ours=ours,
            ) from error
        raise BadFile(
            "This is not a %(kind)s record: %(why)s.", kind=kind.__name__, why=error
        ) from error


class _Tagged(msgspec.Struct, rename={"form": "attune"}):
    """Of any record, which form it has."""

    form: str


def _form_of(data: bytes | str) -> str:
    try:
        return msgspec.json.decode(data, type=_Tagged).form
    except _UNREADABLE:
        return ""


class Below:
    """A path that lies at one place below the home (or, with `run`, below its place in memory), or
    below a folder that is a path itself."""

    def __init__(self, name: str, run: bool = False) -> None:
        self.name, self.run = name, run

    def __get__(self, place: "Home | Path", _kind: object = None) -> Path:
        if isinstance(place, Home):
            place = place.run if self.run else place.root
        return place / self.name


class CaseFolder(PosixPath):
    """`cases/<id>/`, and what lies in it."""

    record = Below("case.json")
    withdrawal = Below("withdrawal")
    """Everything is taken back: the practitioner's order."""
    withdrawn_there = Below("withdrawn-there")
    """Everything is taken back: the service's word."""
    film_orders = Below("withdrawn")
    """The orders for single films, each under its recording's name."""
    hold, lifted = Below("hold"), Below("holds")
    """A hold, and those that were lifted."""
    documents, clips = Below("documents"), Below("clips")
    derived, imports = Below("derived"), Below("imports")
    """A folder a recording: what was made of it here, and films from elsewhere."""
    shares, share_ends = Below("shares"), Below("ends")
    drafts = Below("drafts")
    """What is not finished. Nothing of it is sent."""
    readmitted = Below("readmitted")

    def identity(self, number: int) -> Path:
        """The case's secret, sealed; the highest number has all of them."""
        return self / f"identity-{number:04}.age"


class PersonFolder(PosixPath):
    """`keys/<name on the card>/`: one practitioner's."""

    identity = Below("identity.age")
    """Locked by the passphrase."""
    card = Below("card.json")
    new_card = Below("new-card.json")
    principles = Below("principles.age")


class KeysFolder(PosixPath):
    """`keys/`: the page's own, and its practitioners'."""

    certificate, certificate_key = Below("tls.crt"), Below("tls.key")
    certificates = Below("tls-years.crt")
    """Those that come after it and came before, and their authority."""
    authority = Below("authority.crt")
    paired = Below("paired.json")

    def of(self, name: str) -> PersonFolder:
        return PersonFolder(self, name)


@dataclass(frozen=True)
class Home:
    """Every path of a kit, but the files of a film (`film.manifest`). `root` is on the card, `run`
    in memory (tmpfs).

    One writer a directory, and only its writer deletes there:
    recorder - kit, recordings, run/recorder; web - keys, cases, permits, requests/web, run/web;
    sync - receipts, inbox, requests/sync, run/sync; each its own log/<process>.
    """

    root: Path
    run: Path

    kit = Below("kit")
    kit_card, signing_key = Below("kit/kit.json"), Below("kit/signing.key")
    enrolled = Below("kit/enrolled.json")
    books = Below("kit/books.json")
    clock_mark, clock_kept = Below("kit/clock-mark.json"), Below("kit/clock-kept.json")
    heads = Below("kit/heads")
    outbox = Below("kit/outbox")
    """Parts of the logs, sealed to the service (`protocol.kit_logs`)."""
    removed = Below("kit/removed")
    """The recorder's signed notes of films that are gone, each under its recording's name."""
    emptied = Below("kit/emptied")
    """Its notes of films of which only the manifest is still here, likewise."""
    reset, former = Below("kit/reset"), Below("kit/former")
    """The note of a factory reset, while it is under way and when it is done."""
    recordings = Below("recordings")
    cases = Below("cases")
    permits = Below("permits")
    permit = Below("permits/current")
    web_requests, sync_requests = Below("requests/web"), Below("requests/sync")
    receipts = Below("receipts")
    inbox = Below("inbox")
    roster_there, roster = Below("inbox/roster"), Below("kit/roster")
    """The service's newest that came in, and the newest that the recorder has taken in."""
    at_base = Below("web/at-base.json", run=True)
    """The practitioner's word that the kit is at base."""
    stick_asked = Below("web/stick-asked", run=True)
    """Written anew whenever the page asks for a USB stick; what stands in it says nothing."""
    preview = Below("recorder/preview.jpg", run=True)
    """What the camera sees while it is open for framing, replaced whole."""
    close_look = Below("recorder/close-look.jpg", run=True)
    """One picture of that with all its points, when somebody asked for it."""
    virtual_button = Below("recorder/virtual-button", run=True)
    """The socket at which a virtual kit's button is pressed."""

    def __post_init__(self) -> None:
        # Where the home lies is up to whoever set it up; below it no link is followed.
        object.__setattr__(self, "root", self.root.resolve())
        object.__setattr__(self, "run", self.run.resolve())

    def log(self, process: str) -> Path:
        return self.root / "log" / process

    def status(self, process: str) -> Path:
        """The live status file of a process, replaced whole, in memory only."""
        return self.run / process / "status.json"

    def recording(self, name: str) -> Path:
        return self.recordings / checked_id(name)

    @property
    def keys(self) -> KeysFolder:
        return KeysFolder(self.root, "keys")

    def case(self, name: str) -> CaseFolder:
        return CaseFolder(self.cases, checked_id(name))

    def case_folders(self) -> list[CaseFolder]:
        """Of every case here, in the order of their names. Raises as `names_in` does."""
        return [CaseFolder(path) for path in paths_in(self.cases, ID)]

    def prepare(self, *directories: Path) -> None:
        """Make a writer's own directories (0750) and clear what its last end left half-written."""
        for directory in directories:
            directory.mkdir(mode=0o750, parents=True, exist_ok=True)
            for leftover in directory.rglob(f".*{_TEMPORARY}"):
                if leftover.lstat().st_nlink > 1:
                    # Cut off when it had its own name as well (`save_new`): those are its bytes.
                    leftover.unlink()
                else:
                    destroy(leftover)  # It may be half of a key file.

    @contextlib.contextmanager
    def claim(self, process: str) -> Iterator[None]:
        """Hold the home for one process of this name. Raises HomeInUse if another has it.

        The lock goes with the process, however it ends.
        """
        directory = self.run / process
        directory.mkdir(mode=0o750, parents=True, exist_ok=True)
        self.root.mkdir(mode=0o750, parents=True, exist_ok=True)
        # On the home itself: two kits with different run directories must still not share a home.
        descriptor = os.open(
            self.root / f".{process}.lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o640
        )
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(descriptor)
            raise HomeInUse(
                "Another %(process)s is already running on this home.",
                "Stop that one first, or give this one another --home.",
                process=process,
            ) from error
        try:
            yield
        finally:
            os.close(descriptor)


def save(path: Path, data: bytes, mode: int = 0o640) -> None:
    """Put `data` under `path`, whole or not at all; on the card when this returns. Raises
    NotPossible when the disk says no; what stood there before still stands."""
    with saving(path, mode) as file:
        file.write(data)


@contextlib.contextmanager
def saving(path: Path, mode: int = 0o640) -> Iterator[IO[bytes]]:
    """A file that gets its name when the block has ended well, and then is on the card.

    Temporary file in the same directory, fsync, rename, fsync of the directory. Raises
    NotPossible when the disk says no; what stood there before still stands.
    """
    try:
        with _named_at_its_end(path, mode, os.replace) as file:
            yield file
    except KitError:
        raise  # Some of them are OSErrors too.
    except OSError as error:
        raise NotPossible(
            "%(name)s could not be written: %(why)s.",
            "Check the memory card: it may be full, read-only or worn out.",
            name=path.name,
            why=error.strerror,
        ) from error


def save_new(path: Path, data: bytes, mode: int = 0o640) -> None:
    """Like `save`, but never over something that is there. Raises FileExistsError then."""
    with _named_at_its_end(path, mode, os.link) as file:
        file.write(data)


@contextlib.contextmanager
def _named_at_its_end(
    path: Path, mode: int, name: Callable[[Path, Path], None]
) -> Iterator[IO[bytes]]:
    """A file in the directory of `path` that is synced and gets that name when the block ends."""
    temporary = path.with_name(f".{path.name}.{os.urandom(4).hex()}{_TEMPORARY}")
    try:
        created = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, mode)
        with os.fdopen(created, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        name(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    sync_directory(path.parent)


def save_fact(path: Path, fact: Fact, mode: int = 0o640) -> None:
    """`save` one fact as a line of JSON."""
    save(path, to_json(fact) + b"\n", mode)


def load_fact(path: Path, kind: type[_F]) -> _F | None:
    """The fact at `path`, or None when nothing is there. Raises BadFile for anything else."""
    try:
        data = read_plain(path)
    except FileNotFoundError:
        return None
    return from_json(data, kind)


def read_plain(path: Path, most: int = LARGEST_FACT) -> bytes:
    """What lies at `path`, where another process may have put anything.

    A huge file would fill its reader's memory. So anything but a readable, plain file of at most
    `most` bytes raises BadFile. Raises FileNotFoundError, OSError.
    """
    with open_plain(path) as file:
        # A buffer of `most` bytes for each of a hundred thousand receipts would be too much.
        data = file.read(min(most, _USUAL) + 1)
        if len(data) > _USUAL:
            data += file.read(most + 1 - len(data))
    if len(data) > most:
        raise _strange(path)
    return data


def read_text(path: Path, most: int = LARGEST_FACT) -> str:
    """`read_plain`, as text; BadFile if it is not text."""
    try:
        return read_plain(path, most).decode()
    except UnicodeDecodeError as error:
        raise BadFile("%(name)s is not text.", name=path.name) from error


def open_plain(path: Path) -> io.BufferedReader:
    """The plain file at `path`; the caller closes it. Another process may have put a pipe there,
    which would block its reader for ever, or a link to one of the reader's own secrets. Raises
    BadFile for anything but a plain file, FileNotFoundError, OSError."""
    return open(plain_descriptor(path), "rb")


def plain_descriptor(path: Path) -> int:
    """`open_plain`, as a descriptor: it stays the same file, whatever is put under its name."""
    return _descriptor(path, stat.S_ISREG)


def plain_size(path: Path) -> int:
    """Bytes of a plain file, not opened. Raises BadFile for whatever else lies there,
    FileNotFoundError, OSError."""
    found = path.lstat()
    if not stat.S_ISREG(found.st_mode):
        raise _strange(path)
    return found.st_size


def is_there(path: Path) -> bool:
    """True if anything has this name, a broken link included. For files that forbid something by
    their presence: in doubt, they are there."""
    return os.path.lexists(path)


def names_in(directory: Path, most: int = MOST_NAMES) -> list[str]:
    """The names of what lies in a directory, in order; none where there is no directory.

    Another process may have put a link in its place, which would lead the reader through the whole
    machine, or names without end. So more than `most` raises BadFile. Raises OSError.
    """
    found = _names(directory, most + 1)
    if len(found) > most:
        raise BadFile("There is more in %(name)s than is ours.", name=directory.name)
    return sorted(found)


def paths_in(directory: Path, name: re.Pattern[str], most: int = MOST_NAMES) -> list[Path]:
    """What lies in a directory under such names, in their order. Raises as `names_in` does."""
    return [directory / found for found in names_in(directory, most) if name.fullmatch(found)]


def some_of(directory: Path, most: int) -> list[Path]:
    """Up to `most` of what lies in a directory, where another process may have put any number.

    None where there is no directory that may be read.
    """
    with contextlib.suppress(OSError, BadFile):
        return [directory / name for name in _names(directory, most)]
    return []


def _names(directory: Path, most: int) -> list[str]:
    try:
        descriptor = _descriptor(directory, stat.S_ISDIR)
    except FileNotFoundError:
        return []
    try:
        with os.scandir(descriptor) as found:
            return [entry.name for entry in islice(found, most)]
    finally:
        os.close(descriptor)


def _descriptor(path: Path, kind: Callable[[int], bool]) -> int:
    try:
        # Neither waits for a writer, nor follows a link.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError as error:
        if error.errno in _STRANGE:
            raise _strange(path) from error
        raise
    try:
        # A link in place of a directory on the way would have led elsewhere. A file that was
        # replaced since it was opened is still the one that lay there.
        name = os.path.abspath(path)
        if not kind(os.fstat(descriptor).st_mode) or _name_of(descriptor) not in (
            name,
            f"{name} (deleted)",
        ):
            raise _strange(path)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _name_of(descriptor: int) -> str:
    """The path of an open file as the system knows it, without links; '' if it does not say."""
    with contextlib.suppress(OSError):
        return os.readlink(f"/proc/self/fd/{descriptor}")
    return ""


def _strange(path: Path) -> BadFile:
    return BadFile("%(name)s is not a file of ours.", name=path.name)


def destroy(path: Path) -> None:
    """Take a key file away: `erase` it, unlink it, sync the directory. Safe to call again."""
    try:
        # What is no file has no bytes of ours; a link's are somebody else's.
        if stat.S_ISREG(path.lstat().st_mode):
            with open(os.open(path, os.O_RDWR | os.O_NOFOLLOW), "r+b", buffering=0) as file:
                erase(file)
        path.unlink()
    except FileNotFoundError:
        return
    sync_directory(path.parent)


def remove_tree(directory: Path) -> None:
    """Remove a directory and all in it, sealed as it is, whoever removes or writes there meanwhile.
    Safe to call again."""
    while is_there(directory):
        try:
            shutil.rmtree(directory)
        except OSError as error:
            # Somebody else was quicker, or wrote one more file: what is left is looked at again.
            if error.errno not in (errno.ENOENT, errno.ENOTEMPTY):
                raise


def erase(file: IO[bytes]) -> None:
    """Overwrite what an open file holds, sync, and give its blocks back, whoever else has it open.

    Where the card is mounted with `discard` it is told at once that it may forget those blocks. A
    card that moved them about by itself may still hold older copies: the certificate of a
    withdrawal says so, and this function promises no more.
    """
    # What is longer is no key, and may have no end.
    rest = memoryview(os.urandom(min(file.seek(0, os.SEEK_END), LARGEST_FACT)))
    file.seek(0)
    while rest:
        rest = rest[file.write(rest) :]
    file.flush()
    os.fsync(file.fileno())
    file.truncate(0)
    os.fsync(file.fileno())


def sync_directory(directory: Path) -> None:
    """Make renames, new names and removed names in `directory` durable."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
