"""What is said between whoever wants a film decoded and the process that does it, set apart.

Each message is one byte that says what it is, its length (4 bytes) and its content. This stands by
itself so that the page, which only listens, does not load the decoders for it. What comes from
there is believed in nothing: a refusal is one of these, with numbers in it and no words.
"""

import re
import struct
from dataclasses import dataclass
from fractions import Fraction
from typing import Protocol

from appliance.errors import BadFile, BadInput, KitError, NotPossible, Reason
from appliance.media.kinds import FilmKind

PIECE = 1 << 20
"""Bytes that are asked for or handed over at once, at most."""


class _Said(Reason):
    """What is said of a film. This code, moments in seconds and the code of what was found are all
    that goes back."""

    def __init__(
        self, code: str, sentence: str = "", hint: str = "", kind: type[KitError] = BadFile
    ) -> None:
        super().__init__(code, sentence)
        self.hint, self.kind = hint, kind


class FilmRefusal(_Said):
    """Why nothing was made of a film."""

    NOT_A_FILM = (
        "not-a-film",
        "This file is not a film that the kit can read.",
        "It reads MP4, MOV, MKV, WebM and MTS. On an iPhone or an Android, choose the "
        "film from its gallery. In Zoom, choose the MP4 that is there once the call was "
        "converted. In Teams, choose the recording that you download.",
    )
    UNKNOWN_FILE = (
        "unknown-file",
        "%(kind)s The kit cannot read this kind of file.",
        "Add the film as MP4. An iPhone or an Android has it so in its gallery. Zoom and "
        "Teams give it so as a download. For any other, HandBrake on a computer makes an "
        "MP4 (H.264).",
    )
    NO_PICTURE = (
        "no-picture",
        "There is no picture in this file.",
        "It may be the sound alone. Zoom puts that beside the film, as .m4a. Choose the "
        "film, .mp4.",
    )
    UNKNOWN_KIND = (
        "unknown-kind",
        "%(kind)s The kit cannot read this kind of picture.",
        "Make an MP4 (H.264) of the film and add that. Use iMovie on an iPhone, "
        "HandBrake on a computer, or on an Android edit it in Google Photos and save a "
        "copy. What Zoom and Teams give as a download is MP4 already.",
    )
    UNKNOWN_SOUND = (
        "unknown-sound",
        "%(kind)s The kit cannot read this sound. It can read the picture.",
        "Make an MP4 with ordinary sound (AAC) of the film and add that. Use iMovie on "
        "an iPhone, HandBrake on a computer, or on an Android edit it in Google Photos "
        "and save a copy. What Zoom and Teams give as a download has such sound already.",
    )
    TANGLED = (
        "tangled",
        "The times in this film jump back and forward, so the kit cannot tell what "
        "belongs together.",
        "Save it as MP4 on the device it is on, from a player, and add that.",
    )
    TOO_MANY_POINTS = (
        "too-many-points",
        "The picture of this film is larger than any camera's that the kit knows.",
        "Save a copy in full HD on the device it is on, and add that.",
    )
    TOO_LONG = (
        "too-long",
        "This film is longer than the family agreed to.",
        "Cut it on the device it is on, or talk consent through again.",
    )
    BROKEN = (
        "broken",
        "This film is damaged: too much of it cannot be read.",
        "Try whether a player shows it; send it again.",
    )
    CUT_SHORT = (
        "cut-short",
        "This film ends before it should: a part of the file is missing.",
        "It may not have been copied whole. Add it again from the device it was made on.",
    )
    TOO_MUCH = (
        "too-much",
        "The kit gave up on this film: it took more time or memory than a film may.",
        "Save a copy as MP4 (H.264) in full HD on the device it is on, and add that.",
    )
    NOT_APART = (
        "not-apart",
        "This kit cannot read films safely, so it reads none.",
        "Ask the person who looks after the kit: 'attune doctor' says what is missing.",
        NotPossible,
    )
    NOT_MADE = (
        "not-made",
        "The result is not a film: the file may be damaged or hostile.",
        "Do not add it again without someone who knows what it is.",
    )
    # Of looking into a film that is here.
    NONE_SEEN = "none-seen", "There is no picture in this file."
    ENDS_BEFORE = (
        "ends-before",
        "The clip would end at %(end)s, before it begins at %(start)s.",
        "Set the end after the beginning.",
        BadInput,
    )
    BEFORE_ZERO = "before-zero", "A film begins at 0 seconds.", "Set the mark later.", BadInput
    PAST_THE_END = (
        "past-the-end",
        "The film ends at %(end)s; the mark is at %(at)s.",
        "Set the mark earlier.",
        BadInput,
    )
    BEGINS_AGAIN = (
        "begins-again",
        "This file holds several recordings, each of which begins at 0 seconds.",
        "Bring it into a kit: there they follow each other, and can be cut.",
    )
    NO_TIMES = "no-times", "This film has frames without times."
    NO_CLOCK = "no-clock", "This film has a track without a clock."
    UNREADABLE = (
        "unreadable",
        "This film could not be read.",
        "Check that it is a film, and whole: try to play it in a player.",
    )
    NOT_POSSIBLE = (
        "not-possible",
        "The film was read, but the kit could make nothing of it.",
        "Try again. If it still does not work, this computer lacks an encoder or memory.",
        NotPossible,
    )
    ONE_FRAME = (
        "one-frame",
        "Both marks are within one frame.",
        "Set the marks further apart.",
        BadInput,
    )
    NOTHING_SHOWN = "nothing-shown", "There is no picture in this film that could be shown."


class FilmNote(_Said):
    """What a person should know of a film that came in. Travels as a refusal does."""

    END_MISSING = (
        "end-missing",
        "Its end is missing. There are %(end)s of it.",
        "If there is more of it on the device, copy it whole and add it again.",
    )
    SOUND_LEFT = (
        "sound-left",
        "A track of its sound is left out: the kit does not read it. What else is heard is here. "
        "%(kind)s",
        "Listen, and check that no one is missing.",
    )
    SOUNDS_MIXED = "sounds-mixed", ("It has several tracks of sound. You hear them all at once.")
    PICTURE_LEFT = (
        "picture-left",
        "It has more than one picture. Only the first is here.",
        "If you want another, save it by itself on the device it is on, and add it too.",
    )
    SEVERAL = (
        "several",
        "The file holds several recordings. They follow each other here. The next starts "
        "at %(at)s.",
    )


class Kind:
    """What a message is."""

    ASK, TOLD, FILM, REFUSED, DONE = b"R", b"T", b"F", b"E", b"D"
    DONE_SO_FAR, PICTURE, LOUD, CUT, NOTE = b"S", b"P", b"L", b"C", b"N"


HEAD = struct.Struct(">cI")
ASKED = struct.Struct(">QI")
TOLD = struct.Struct(">d")
"""How many seconds the film says that it lasts, 0 if it says nothing; then, whether it sounds."""
SO_FAR = struct.Struct(">d")
"""How far the work is, from 0 to 1."""
SHOWN = struct.Struct(">qq")
"""The second at which a picture appears, as a fraction; then comes the picture, a JPEG."""
CUT = struct.Struct(">IIqqqqqq?")
"""Of a clip: frames, how many of them are copied, three moments as fractions, whether it sounds."""


@dataclass(frozen=True)
class Cut:
    """What went into a clip, in seconds of its source: from when to when it shows it (`first`,
    `end`), and when its last picture appears. `copied` of the `frames` are the source's own."""

    frames: int
    copied: int
    first: Fraction
    last: Fraction
    end: Fraction
    sound: bool

    def packed(self) -> bytes:
        moments = (
            number for one in (self.first, self.last, self.end) for number in one.as_integer_ratio()
        )
        return CUT.pack(self.frames, self.copied, *moments, self.sound)


class Source(Protocol):
    """A film that can be seeked."""

    def read(self, size: int = -1, /) -> bytes | None: ...
    def seek(self, offset: int, whence: int = 0, /) -> int: ...
    def tell(self) -> int: ...


class Wire(Protocol):
    """What goes to and fro."""

    def ask(self, offset: int, length: int) -> bytes: ...
    def send(self, kind: bytes, data: bytes) -> None: ...


class FilmPipe:
    """What a film is written to that goes over the wire, in pieces."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._held = bytearray()

    def write(self, data: bytes) -> int:
        self._held += data
        while len(self._held) >= PIECE // 4:
            self._wire.send(Kind.FILM, bytes(self._held[:PIECE]))
            del self._held[:PIECE]
        return len(data)

    def flush(self) -> None:
        """What is left."""
        if self._held:
            self._wire.send(Kind.FILM, bytes(self._held))
            self._held.clear()


_CODES = {(why.sentence, why.hint): why for why in (*FilmRefusal, *FilmNote)}
_NAME = re.compile(r"%\((\w+)\)s")
_VALUE = re.compile(r"([a-z]{1,8})=(?:(-?\d{1,9}\.\d{3} s)|([a-z0-9-]{1,16}))")


def refusal(why: FilmRefusal | FilmNote, **values: str | FilmKind) -> KitError:
    """The error that says so, or, of a note, what the page tells as it tells errors; moments as
    `footage.said` gives them, `kind` what was found."""
    return why.kind(why.sentence, why.hint, **values)


def reason_of(error: KitError) -> FilmRefusal | FilmNote | None:
    """What `refusal` was given for an error; None of one that it did not make."""
    return _CODES.get(error.said)


def coded(error: KitError) -> bytes:
    """An error on its way out of the process that decodes."""
    why = reason_of(error)
    values = {} if why is None else error.values
    why = why or FilmRefusal.BROKEN
    told = (
        f"{name}={value.value if isinstance(value, FilmKind) else value}"
        for name, value in values.items()
    )
    return "\n".join([why.value, *told]).encode()


def decoded(data: bytes, of: type[FilmRefusal] | type[FilmNote] = FilmRefusal) -> KitError:
    """The error that came from there. What none of ours would say is told as what it is."""
    try:
        code, *values = data.decode("ascii").split("\n")
        found = [_VALUE.fullmatch(value) for value in values]
        told = {one[1]: one[2] or FilmKind(one[3]) for one in found if one}
        why = of(code)
        kinds = {name for name, value in told.items() if isinstance(value, FilmKind)}
        if (
            len(told) == len(values)
            and set(told) == set(_NAME.findall(why.sentence))
            and kinds == {"kind"} & set(told)
        ):
            return refusal(why, **told)
    except ValueError:
        pass
    return refusal(FilmRefusal.NOT_MADE)
