"""A stick that is carried between the store and the opening key: what is asked on it, and what
comes back.

    DIR/ask             what is asked for, signed beside the store
    DIR/asked/<sha256>  files that it speaks of, sealed as they lie at the store
    DIR/carried-<id>/   a case that is to be given out, sealed as it lies at the store
    DIR/cards/          the service's cards
    DIR/answer          what was done, signed by a root or another key of the service
    DIR/given/<sha256>  key files, sealed anew

No secret and no name of anybody is on it in clear. What comes back counts once, for what was asked
here, and by the card that was the newest then.
"""

import contextlib
import errno
import hashlib
import os
import re
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from appliance.base.custody.keys import ServiceKeys, cards_beside, keep_card
from appliance.base.ledger import Ledger
from appliance.errors import BadFile, BadInput, BadSignature, NoMatch, NotPossible
from appliance.protocol.cards import Card, KitCard
from appliance.records.files import Fact, Timestamp, paths_in, read_plain, read_text, save
from appliance.records.signing import open_fact, sign_fact
from appliance.vault.keys import PrivateKeys

_LARGEST = 64 * 1024
_LARGEST_LIST = 64 << 20
_CARRIED = re.compile("carried-[a-z2-7]{16}")
_SPARE = 1 << 20
"""Bytes: what is asked and answered finds room beside a case."""


class Want(Fact, frozen=True, kw_only=True, tag="want/v1"):
    """A case whose key is to be sealed anew."""

    case: str
    files: dict[str, str]
    """Its key files at the store, by their names in the case, each with its SHA-256 (hex)."""


class _Question(Fact, frozen=True, kw_only=True):
    id: str
    at: Timestamp
    card: str
    """Digest of the service's newest card: by it the keys are sealed."""


class Asked(_Question, frozen=True, kw_only=True, tag="asked/v1"):
    """What is asked of whoever has the opening key. Signed by the service."""

    to: Card | None
    """Whom the cases are opened to; None: to the service alone, after a new card."""
    kit: str
    """The kit that lets them in, '' for none."""
    wants: tuple[Want, ...]


class AskedInstead(_Question, frozen=True, kw_only=True, tag="asked-instead/v1"):
    """That somebody is let in where another works: that is, in which cases, only the opening key
    can tell. Signed by the service."""

    to: Card
    before: str
    """The name on the card of the other."""
    kit: str
    """The kit that lets them in, '' for none."""
    also: tuple[str, ...]
    """Cases that were named besides."""
    people: tuple[Card, ...]
    """Whoever works or worked here: their lists are believed."""
    wants: tuple[Want, ...]
    lists: dict[str, dict[str, str]]
    """Of each case, the sealed lists of who works in it, as in `Want.files`."""


class AskedAudit(_Question, frozen=True, kw_only=True, tag="asked-audit/v1"):
    """Whether cases' key files open. Signed by the service."""

    files: tuple[str, ...]
    """The SHA-256 (hex) of each."""


class AskedExport(_Question, frozen=True, kw_only=True, tag="asked-export/v1"):
    """That one case is opened for somebody who has a right to it. Signed by the service."""

    case: str
    people: tuple[Card, ...]
    """Whoever works or worked here: their documents are believed."""
    kits: tuple[KitCard, ...]
    objects: dict[str, str]
    """What is carried, by its name at the store, each with its SHA-256 (hex)."""


class Given(Fact, frozen=True, kw_only=True, tag="given/v1"):
    """What became of one case."""

    case: str
    number: int
    """0 where no key there opens it, or far too many are there."""
    sha256: str = ""
    """Of what was sealed anew, '' where that was not needed."""
    left: tuple[str, ...] = ()
    """Key files, by their names in the case, that are sealed to keys which open no more."""


class _Told(Fact, frozen=True, kw_only=True):
    id: str
    """Of what was asked."""
    at: Timestamp


class Answer(_Told, frozen=True, kw_only=True, tag="given-back/v1"):
    """The answer to what was asked. Signed by a root or another key of the service."""

    cases: tuple[Given, ...]


class KeysOpened(_Told, frozen=True, kw_only=True, tag="keys-opened/v1"):
    """The answer to an audit. Signed likewise."""

    held: dict[str, tuple[str, ...]]
    """By the SHA-256 of a key file, the digest of the recipient of each key that it holds. None:
    no key there opens it that the newest card names."""


class GivenOut(_Told, frozen=True, kw_only=True, tag="given-out/v1"):
    """That a case was opened for somebody. Signed likewise."""

    case: str
    films: int
    problems: int
    """So much of it could not be given out, or not whole."""


Question = Asked | AskedInstead | AskedAudit | AskedExport
AnyAnswer = Answer | KeysOpened | GivenOut
_QUESTION: msgspec.json.Decoder[Question] = msgspec.json.Decoder(Question)
_ANSWER: msgspec.json.Decoder[AnyAnswer] = msgspec.json.Decoder(AnyAnswer)


# --- Asking -------------------------------------------------------------------------------------


def begin(directory: Path) -> None:
    """See that something can be asked here; a case goes that an ask left which was killed. Raises
    BadInput where the stick holds something that was not taken yet."""
    if (directory / "ask").exists() or (directory / "answer").exists():
        raise BadInput(
            f"{directory} holds what was asked for before.",
            "Take its answer in first, with --take, or give an empty folder.",
        )
    for path in paths_in(_made(directory), _CARRIED):
        shutil.rmtree(path, ignore_errors=True)


def put_ask(directory: Path, keys: PrivateKeys, ledger: Ledger, question: Question) -> None:
    """Sign what is asked for, and write it on the stick, after everything that it speaks of."""
    keep_card(directory, keys.chain)
    to = getattr(question, "to", None)
    case = {"case": question.case} if isinstance(question, AskedExport) else {}
    ledger.write("asked", question.id, to=to.name if to else "", **case)
    # Last: what is not whole is not there.
    save(directory / "ask", sign_fact(keys.signer, question).encode())


def put_file(folder: Path, data: bytes) -> str:
    """Write a file under its SHA-256 (hex); returns that."""
    digest = hashlib.sha256(data).hexdigest()
    save(_made(folder) / digest, data)
    return digest


def read_file(folder: Path, digest: str) -> bytes:
    """A file of the stick, as its digest says. Raises BadFile."""
    if not re.fullmatch("[0-9a-f]{64}", digest):
        raise BadFile("A file on the stick has no name of ours.")
    try:
        data = read_plain(folder / digest, _LARGEST)
    except FileNotFoundError as error:
        raise BadFile("A file is missing on the stick.", "Copy the whole folder.") from error
    if hashlib.sha256(data).hexdigest() != digest:
        raise BadFile("A file on the stick was damaged.", "Copy the whole folder again.")
    return data


def carried(directory: Path, question: str) -> Path:
    """Where the objects lie that a question of this id speaks of."""
    return directory / f"carried-{question}"


# --- Answering ----------------------------------------------------------------------------------


def read_ask(keys: PrivateKeys, folder: Path, directory: Path) -> Question:
    """What is asked for on a stick; the cards that it brings are kept in the folder of keys.
    Raises BadInput."""
    brought = cards_beside(directory)
    if brought is not None and isinstance(keys, ServiceKeys) and brought.first == keys.card():
        for note in brought.notes[len(keys.chain.notes) :]:
            keys.follow(note)
        keep_card(folder, keys.chain)
    try:
        asked = keys.chain.word(read_text(directory / "ask", _LARGEST_LIST), _QUESTION)
    except FileNotFoundError as error:
        raise BadInput(f"Nothing is asked for in {directory}.") from error
    if asked.card != keys.chain.digest:
        raise BadInput("This was asked for by another card of the service.", "Ask anew.")
    return asked


def put_answer(directory: Path, keys: PrivateKeys, told: AnyAnswer) -> None:
    """Sign what was done, and write it on the stick."""
    try:
        signer = keys.root
    except NoMatch:
        signer = keys.signer
    save(directory / "answer", sign_fact(signer, told).encode())


# --- Taking in ----------------------------------------------------------------------------------


def read_answer(keys: PrivateKeys, ledger: Ledger, directory: Path) -> tuple[Question, AnyAnswer]:
    """What was asked, and what came back. Raises BadInput for what is no answer to what was asked
    here, or was taken in before."""
    try:
        asked = keys.chain.word(read_text(directory / "ask", _LARGEST_LIST), _QUESTION)
        note = read_text(directory / "answer", _LARGEST_LIST)
    except FileNotFoundError as error:
        raise BadInput(f"There is no answer in {directory} yet.") from error
    if asked.card != keys.chain.digest:
        raise BadInput("The service has another card since this was asked.", "Ask anew.")
    told, by = open_fact(note, [*keys.chain.roots, *keys.chain.signing], _ANSWER)
    # A key that has ended could date its answer back, to before this was asked.
    if by not in keys.chain.roots and (told.at < asked.at or not keys.chain.said(told, by)):
        raise BadSignature(
            "The key that signed this answer was not the service's any more.",
            "If it was, the clock there is behind: set it, and answer again.",
        )
    if told.id != asked.id or asked.id not in ledger.of("asked"):
        raise BadInput("This is no answer to what was asked here.")
    if asked.id in ledger.of("taken"):
        raise BadInput("This answer was taken in before.", "Ask anew, with an empty folder.")
    return asked, told


def clear(directory: Path) -> None:
    """Make room for what is asked for next."""
    for path in (directory / "given", directory / "asked", *paths_in(directory, _CARRIED)):
        shutil.rmtree(path, ignore_errors=True)
    # A stick that may not be written on is emptied by hand.
    with contextlib.suppress(OSError):
        (directory / "answer").unlink()
        (directory / "ask").unlink()


# --- Its room -----------------------------------------------------------------------------------


@contextlib.contextmanager
def nothing_half(directory: Path, *names: str) -> Iterator[None]:
    """Whatever ends it before leaves none of these on the stick that was not there. Raises
    NotPossible where it is full."""
    new = [directory / name for name in names if not (directory / name).exists()]
    try:
        yield
    except BaseException as error:
        full = _is_full(directory)
        for path in new:
            _remove(path)
        cause = error.__cause__ or error
        if isinstance(cause, OSError) and (
            cause.errno == errno.EFBIG or (cause.errno in (errno.ENOSPC, errno.EDQUOT) and full)
        ):
            raise _no_room(directory) from error
        raise


def check_room(directory: Path, sizes: Iterable[int]) -> None:
    """See that files of these sizes, in bytes, have room on the stick. Raises NotPossible."""
    disk = os.statvfs(directory)
    block = disk.f_frsize
    need = sum(-(-size // block) * block for size in sizes) + _SPARE
    free = disk.f_bavail * block
    if need > free:
        raise _no_room(directory, f"It takes {need:,} bytes, and {free:,} are free. ")


def _no_room(directory: Path, much: str = "") -> NotPossible:
    return NotPossible(
        f"There is not enough room in {directory}. Nothing was left there.",
        f"{much}Take a larger stick.",
    )


def _is_full(directory: Path) -> bool:
    """Whether it is this disk that is full, and no other."""
    with contextlib.suppress(OSError):
        disk = os.statvfs(directory)
        few = disk.f_bavail * disk.f_frsize < _SPARE
        return few or bool(disk.f_files and not disk.f_favail)
    return False


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink()


def _made(directory: Path) -> Path:
    directory.mkdir(mode=0o700, exist_ok=True)
    return directory
