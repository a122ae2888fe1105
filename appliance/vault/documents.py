"""A document of a case: signed inside the seal, under a heading that says what it is.

The heading is its first line, so that a signed document cannot be moved to another place or case.
Since homes have names it also says by whose home it was written, when, and what it replaces
(`vault.versions`); `document/v1`, from before, has only a number, and is still read.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from appliance.age.unsealing import Identity, unseal
from appliance.errors import BadFile
from appliance.protocol.names import Numbered
from appliance.records.files import Fact, Timestamp, from_json, lines, to_json
from appliance.records.signing import Verifier, open_note
from appliance.vault.versions import Replaced, Version


class _Numbered(Fact, frozen=True, kw_only=True, tag="document/v1"):
    """The heading from before homes had names."""

    case: str
    name: str
    number: int


class Heading(Fact, frozen=True, kw_only=True, tag="document/v2"):
    """First line of every document."""

    case: str
    name: str
    number: int
    home: str
    """The home that wrote it; '' where that had no name yet."""
    after: tuple[Replaced, ...]
    """What it replaces: everything that was in force at that home just then."""
    at: Timestamp


_HEADING: msgspec.json.Decoder[_Numbered | Heading] = msgspec.json.Decoder(_Numbered | Heading)


@dataclass(frozen=True)
class Document:
    """One that was opened, and whose signature is believed."""

    version: Version
    body: str
    """The fact that it carries, a line of JSON."""


def text_of(heading: Heading, fact: Fact) -> str:
    """What is signed and sealed. Raises BadInput."""
    return f"{to_json(heading).decode()}\n{to_json(fact).decode()}\n"


def digest_of(note: str) -> str:
    """SHA-256 (hex) of a signed text, by which other records refer to it."""
    return hashlib.sha256(note.encode()).hexdigest()


def open_document(
    sealed: bytes,
    identities: Sequence[Identity],
    verifiers: Sequence[Verifier],
    case: str,
    name: Numbered,
) -> Document:
    """Open and check one. Raises what `unseal` does, BadSignature, BadFile for what is not what its
    file is called."""
    try:
        note = unseal(sealed, identities).decode()
    except UnicodeDecodeError as error:
        raise BadFile("The document %(name)s is not text.", name=name.file) from error
    text, _ = open_note(note, verifiers)
    parts = lines(text)
    heading = from_json(parts[0], _HEADING) if len(parts) == 2 else None
    if heading is None or not _is(heading, case, name):
        raise BadFile(
            "The document %(name)s-%(number)s belongs elsewhere.",
            name=name.stem,
            number=f"{name.number:04}",
        )
    digest = digest_of(note)
    if isinstance(heading, Heading):
        return Document(Version(name, digest, heading.after, heading.at), parts[1])
    return Document(Version(name, digest, numbered_only=True), parts[1])


def unreadable(name: Numbered) -> Version:
    """What is known of one that cannot be read."""
    return Version(name, numbered_only=not name.home or bool(name.digest))


def _is(heading: _Numbered | Heading, case: str, name: Numbered) -> bool:
    if (heading.case, heading.name, heading.number) != (case, name.stem, name.number):
        return False
    home = heading.home if isinstance(heading, Heading) else ""
    # Beside another's name, a file has the name of the home that sent it.
    return home == name.home or (not home and bool(name.digest))
