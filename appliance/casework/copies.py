"""Copies that a family keeps: chosen clips and stills, and never a film.

A copy leaves the kit in clear, or under words that the family alone has; no key reaches it
afterwards. So everybody who was in the film must have agreed to copies, and the agreement must
stand now; anything in doubt is a refusal. What goes out says nothing but picture and sound: no
time, place, device or name is in a file, in its name or in its dates. Before the first byte leaves,
a receipt is sealed into the case: a withdrawal names from it what nobody can call back.
"""

import contextlib
import hashlib
import io
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import Literal

from appliance.age.scrypt import ScryptRecipient
from appliance.age.sealing import CHUNK, TAG, SealedWriter
from appliance.age.unsealing import SealedReader
from appliance.casework.clips import Kept, Still, sealed_file
from appliance.casework.consent import (
    Consent,
    Newcomer,
    Purpose,
    allows,
    consent_of,
    may_be_watched,
)
from appliance.errors import BadFile, NotPossible, Reason
from appliance.film import boxes
from appliance.film.manifest import FilmStarted
from appliance.protocol.orders import CopiesOut
from appliance.records.files import Fact, Timestamp, open_plain
from appliance.vault.cases import OpenCase

Way = Literal["stick", "download"]
State = Literal["begun", "done", "partly", "nothing"]
"""Of a receipt. `begun`: nobody saw its end, so that all of it may be out there."""

HOW_TO_OPEN = "how-to-open.txt"
"""Lies beside locked copies."""
_PIECE = 1 << 18
_LONGEST_MOOV = 1 << 26
_CONTAINERS = frozenset({b"moov", b"trak", b"edts", b"mdia", b"minf", b"dinf", b"stbl"})
_TIMED = frozenset({b"mvhd", b"tkhd", b"mdhd"})
_PLAYING = frozenset(
    {b"hdlr", b"vmhd", b"smhd", b"dref", b"elst"}
    | {b"stsd", b"stts", b"ctts", b"stss", b"stsc", b"stsz", b"stco", b"co64"}
)
"""What a player needs. Anything else could tell more than the picture and the sound."""
_HANDLER_NAME = 24
_JPEG_PICTURE = frozenset({0xE0, 0xDB, 0xC0, 0xC4, 0xDD})
"""JFIF's mark, tables, the frame's size: segments that hold the picture, and no comment."""
_JPEG_SCAN, _LONGEST_HEAD = 0xDA, 1 << 16


class CopyRefusal(Reason):
    """Why a moment may not be copied. The page and the log use these codes."""

    NOT_AGREED = (
        "copies-not-agreed",
        "No one has agreed to copies. Talk it through, and record a consent in which "
        "everyone agrees to copies.",
    )
    NOT_EVERYBODY = (
        "copies-not-everybody",
        "Someone in this film has not agreed to copies. Record consent with everyone who "
        "was there, in which all of them agree to copies.",
    )
    FILM_UNKNOWN = (
        "copies-film-unknown",
        "We cannot tell who was in this film and what they agreed to, so it is not "
        "copied. The film or its consent is not on this kit.",
    )


class Copies(Fact, frozen=True, kw_only=True, tag="copies/v1"):
    """The receipt: what was handed out, to whom, and how far it got."""

    id: str
    made: Timestamp
    to: str
    """In the family's words."""
    way: Way
    locked: bool
    """Under a passphrase that the family has and the kit has not."""
    moments: tuple[str, ...]
    """Clips and stills, in the order of their names."""
    state: State


def judge(
    case: OpenCase, film: FilmStarted | None, now: Timestamp, purpose: Purpose = "copies"
) -> CopyRefusal | None:
    """Whether moments of this film may be copied now, or used for another purpose; None is yes.

    Everybody who was in the room counts: either the film was made under an agreement to that, or
    each of them is named in the one in force, and agrees.
    """
    agreed = consent_of(case)
    if agreed is None or not allows(agreed, purpose, now):
        return CopyRefusal.NOT_AGREED
    if film is not None and not may_be_watched(agreed, now, film.kind):
        # What it was filmed for was taken back: nobody looks at it, in a copy no more than here.
        return CopyRefusal.NOT_AGREED
    then = case.read_by_digest(Consent, film.consent) if film else None
    if film is None or then is None:
        return CopyRefusal.FILM_UNKNOWN
    newcomer = case.read(Newcomer, film.recording)
    if newcomer is not None and (
        agreed.event_time <= newcomer.event_time or _people(agreed) <= _people(then)
    ):
        # Whoever came in is named in the consent that was recorded after it, if they agreed; one
        # that names nobody new, such as that of the next visit, does not speak for them.
        return CopyRefusal.NOT_EVERYBODY
    if allows(then, purpose, film.started) or _people(then) <= _people(agreed):
        return None
    return CopyRefusal.NOT_EVERYBODY


def names(kept: Iterable[Kept], locked: bool) -> list[str]:
    """What the copies are called: `1.mp4`, `2.mp4`, `1.jpg`; with `.age` if they are locked."""
    counts: Counter[str] = Counter()
    found = []
    for one in kept:
        ending = "jpg" if isinstance(one, Still) else "mp4"
        counts[ending] += 1
        found.append(f"{counts[ending]}.{ending}{'.age' if locked else ''}")
    return found


@contextlib.contextmanager
def opened(case: OpenCase, kept: Kept) -> Iterator[SealedReader]:
    """A moment as it goes out. Raises BadFile unless it is what was kept, whole, and says nothing
    but picture and sound; NotPossible if the card does not give it."""
    try:
        with open_plain(sealed_file(case, kept)) as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != kept.sha256:
                raise BadFile(
                    "A clip is not the one that was saved.", "Delete it, and save the clip again."
                )
            reader = SealedReader(file, case.identities)
            (_check_picture if isinstance(kept, Still) else _check_film)(reader)
            yield reader
    except FileNotFoundError as error:
        raise NotPossible("A clip is no longer on this kit.") from error


def plain(reader: SealedReader, go_on: Callable[[int], None]) -> Iterator[bytes]:
    """The bytes of a moment, unsealed as they are asked for.

    `go_on` is told how many come next; what it raises ends it.
    """
    for offset in range(0, reader.size, _PIECE):
        go_on(min(_PIECE, reader.size - offset))
        try:
            piece = reader.read_at(offset, _PIECE)
        except OSError as error:
            raise NotPossible("The memory card could not read a clip to copy it.") from error
        yield piece


def locked(
    reader: SealedReader, passphrase: str, go_on: Callable[[int], None]
) -> tuple[int, Iterator[bytes]]:
    """How long a moment is under a passphrase, as an age file, and its bytes as they are made."""
    made = io.BytesIO()
    writer = SealedWriter(made, [ScryptRecipient(passphrase)])
    chunks = max(1, -(-reader.size // CHUNK))

    def sealed() -> Iterator[bytes]:
        for piece in plain(reader, go_on):
            writer.write(piece)
            yield _taken(made)
        writer.close()
        yield _taken(made)

    return made.tell() + reader.size + chunks * TAG, sealed()


def out_of_reach(case: OpenCase, moments: Collection[str] | None = None) -> tuple[CopiesOut, ...]:
    """What of this case, or of some of its moments, is in other hands, as an order of withdrawal
    may say it: no names."""
    kept = case.salvage(Copies)
    return tuple(
        CopiesOut(made=one.made, files=files, locked=one.locked, way=one.way)
        for one in sorted(kept.found.values(), key=lambda one: one.made, reverse=True)
        if one.state != "nothing" and (files := how_many(one.moments, moments))
    ) + tuple(
        # In doubt something was handed out.
        CopiesOut(made=kept.when(item), files=0, locked=False, way="download")
        for item in kept.lost
    )


def how_many(handed_out: Collection[str], moments: Collection[str] | None) -> int:
    """How many of what was handed out are among these moments, None for every one."""
    return sum(moments is None or name in moments for name in handed_out)


def receipts(case: OpenCase) -> Sequence[Copies]:
    """Every copy that was handed out, the newest first."""
    return sorted(case.read_all(Copies), key=lambda one: one.made, reverse=True)


def _people(consent: Consent) -> set[str]:
    return {" ".join(person.name.split()).casefold() for person in consent.people}


def _taken(made: io.BytesIO) -> bytes:
    data = made.getvalue()
    made.seek(0)
    made.truncate()
    return data


# --- That a file says nothing but picture and sound ----------------------------------------------


def _says_more() -> BadFile:
    return BadFile(
        "A clip holds more than picture and sound, so it is not copied.",
        "Save the clip again. If that does not help, tell your service.",
    )


def _check_film(reader: SealedReader) -> None:
    at, parts = 0, []
    while at < reader.size:
        found = boxes.header(reader.read_at(at, 16))
        if found is None:
            raise _says_more()
        name, _head, size = found
        parts.append(name)
        if name == b"moov":
            if size > _LONGEST_MOOV:
                raise _says_more()
            _check_boxes(reader.read_at(at, size))
        at += size
    if at != reader.size or parts != [b"ftyp", b"moov", b"mdat"]:
        raise _says_more()


def _check_boxes(data: bytes) -> None:
    for box in boxes.boxes(data):
        body = data[box.body : box.end]
        if box.name in _CONTAINERS:
            _check_boxes(body)
        elif box.name in _TIMED:
            # When it was made and changed (ISO/IEC 14496-12, 8.2.2), in 32 or 64 bits each.
            if any(body[4 : 20 if body[:1] == b"\1" else 12]):
                raise _says_more()
        elif box.name not in _PLAYING or (box.name == b"hdlr" and any(body[_HANDLER_NAME:])):
            raise _says_more()


def _check_picture(reader: SealedReader) -> None:
    data, at = reader.read_at(0, _LONGEST_HEAD), 2
    while data[:2] == b"\xff\xd8" and data[at : at + 1] == b"\xff":
        kind = data[at + 1]
        if kind == _JPEG_SCAN:
            return
        if kind not in _JPEG_PICTURE:
            break
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    raise _says_more()
