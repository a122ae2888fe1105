"""What is said between whoever brings a film in and the process that decodes it, set apart.

Each message is one byte that says what it is, its length (4 bytes) and its content. This stands by
itself so that the page, which only listens, does not load the decoders for it.
"""

import struct
from enum import Enum
from typing import Protocol

PIECE = 1 << 20
"""Bytes that are asked for or handed over at once, at most."""


class Refusal(Enum):
    """Why a film was not taken. This code is all that goes back."""

    NOT_A_FILM = "not-a-film"
    NO_PICTURE = "no-picture"
    UNKNOWN_KIND = "unknown-kind"
    TOO_MANY_POINTS = "too-many-points"
    TOO_LONG = "too-long"
    BROKEN = "broken"
    CUT_SHORT = "cut-short"
    TOO_MUCH = "too-much"
    NOT_APART = "not-apart"


class Kind:
    """What a message is, in its first byte; then come its length (4 bytes) and its content."""

    ASK, TOLD, FILM, REFUSED, DONE = b"R", b"T", b"F", b"E", b"D"


HEAD = struct.Struct(">cI")
ASKED = struct.Struct(">QI")
TOLD = struct.Struct(">d")
"""How many seconds the film says that it lasts, 0 if it says nothing; then, whether it sounds."""


class Wire(Protocol):
    """What goes to and fro."""

    def ask(self, offset: int, length: int) -> bytes: ...
    def send(self, kind: bytes, data: bytes) -> None: ...
