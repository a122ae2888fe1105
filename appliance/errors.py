"""Everything that can go wrong, as one tree.

    KitError
    +-- BadInput (ValueError)        what was given cannot be what it claims to be
    |   +-- BadFile                  a file or record that is not in its format
    |   |   +-- BadArmor             the text form around a sealed file is broken
    |   |   +-- BadHeader            nothing of a sealed file can be opened
    |   |   |   +-- AlteredHeader    whom it was sealed to was changed afterwards
    |   |   +-- BadPayload           a sealed file opens, but was damaged or altered further on
    |   +-- BadSignature             signed by nobody we know, or altered
    +-- NotOpened (PermissionError)  a sealed file stays closed
    |   +-- NoMatch                  none of the keys given opens it
    |   +-- WrongPassphrase
    |   +-- CaseWithdrawn            its key was removed; nothing opens it any more
    +-- Incomplete (EOFError)        what is there is authentic, but the end is missing
    +-- NotPossible (OSError)        the machine said no: disk, device, port, another process
    |   +-- HomeInUse
    |   +-- CameraFailed
    |   +-- LightFailed
    |   +-- SoundFailed
    |   +-- StickFailed
    +-- SendFailed
        +-- SendInterrupted (ConnectionError)   worth trying again
        |   +-- NotReached               nothing answered
        +-- SendRefused (PermissionError)       not worth trying again until something changes
            +-- WrongStore               what answered is not the service's store
            |   +-- PortalPage           but a network's page to sign in to
            +-- WrongTime                its certificate is not valid on this day
            +-- WrongClock               it says that the clock is wrong here
            +-- WrongPlace               no such bucket, or not in this region
            +-- NotLetIn                 the store does not let this kit in
            |   +-- AccessEnded          any more: the credential has run out
            +-- StoreMissing
            +-- StoreFull
            +-- TooLarge                 for the store, one file is
            +-- NotSupported             the engine cannot do what is needed
            +-- AnotherBase              another base works at the store
            +-- ClockInDoubt             base's clock is far from what its kits sign
            +-- NotAFile                 something else than a file lies under a name

An error is for a person: what happened and why (the sentence), what to do (the hint). Between
processes only its `code` travels. A refusal to film is not an error but an answer: see
`appliance.protocol.permits.PressRefusal`.
"""

import json
import traceback
from collections.abc import Sequence
from enum import Enum
from typing import ClassVar, Self


class Reason(Enum):
    """Why something is not done: a code that travels, and the sentence in which the page says what
    it means and what to do. A member is both: `NOT_SENT = "not-all-sent", "Not everything ..."`."""

    _value_: str

    def __new__(cls, code: str, *_said: object) -> Self:
        made = object.__new__(cls)
        made._value_ = code
        return made

    def __init__(self, _code: str, sentence: str = "") -> None:
        self.sentence = sentence


class KitError(Exception):
    """One sentence saying what happened and why, and a hint saying what to do.

    What differs from one time to the next is told apart, as `%(name)s` in either and a value of
    that name: the words themselves can be said in another language.
    """

    code: ClassVar[str] = "failed"
    exit_status: ClassVar[int] = 1

    def __init__(self, sentence: str, hint: str = "", **values: object) -> None:
        self.said = sentence, hint
        """Sentence and hint as they are translated."""
        self.values = values
        self.sentence, self.hint = (words % values if values else words for words in self.said)
        super().__init__(self.sentence)

    def __str__(self) -> str:
        return f"{self.sentence}\n{self.hint}" if self.hint else self.sentence


class BadInput(KitError, ValueError):
    code = "bad-input"


class BadFile(BadInput):
    code = "bad-file"


class BadArmor(BadFile):
    code = "bad-armor"


class BadHeader(BadFile):
    code = "bad-header"


class AlteredHeader(BadHeader):
    code = "altered-header"


class BadPayload(BadFile):
    code = "bad-payload"


class BadSignature(BadInput):
    code = "bad-signature"


class NotOpened(KitError, PermissionError):
    code = "not-opened"


class NoMatch(NotOpened):
    code = "no-match"


class WrongPassphrase(NotOpened):
    code = "wrong-passphrase"


class CaseWithdrawn(NotOpened):
    code = "case-withdrawn"


class Incomplete(KitError, EOFError):
    code = "incomplete"
    exit_status = 3


class NotPossible(KitError, OSError):
    code = "not-possible"


class HomeInUse(NotPossible):
    code = "home-in-use"


class CameraFailed(NotPossible):
    code = "camera-failed"


class LightFailed(NotPossible):
    code = "light-failed"


class SoundFailed(NotPossible):
    code = "sound-failed"


class StickFailed(NotPossible):
    code = "stick-failed"


class SendFailed(KitError):
    code = "send-failed"


class SendInterrupted(SendFailed, ConnectionError):
    code = "send-interrupted"


class NotReached(SendInterrupted):
    code = "not-reached"


class SendRefused(SendFailed, PermissionError):
    code = "send-refused"


class WrongStore(SendRefused):
    code = "wrong-store"


class PortalPage(WrongStore):
    code = "portal-page"


class WrongTime(SendRefused):
    """The store has the certificate that is known here, and it is not valid now: it has run out, or
    this kit's clock is wrong."""

    code = "wrong-time"


class WrongClock(SendRefused):
    code = "wrong-clock"


class WrongPlace(SendRefused):
    code = "wrong-place"


class NotLetIn(SendRefused):
    code = "not-let-in"


class AccessEnded(NotLetIn):
    code = "access-ended"


class StoreMissing(SendRefused):
    code = "store-missing"


class StoreFull(SendRefused):
    code = "store-full"


class TooLarge(SendRefused):
    code = "too-large"


class NotSupported(SendRefused):
    code = "not-supported"


class AnotherBase(SendRefused):
    code = "another-base"


class ClockInDoubt(SendRefused):
    code = "clock-in-doubt"


class NotAFile(SendRefused):
    """Whoever has a kit's way into a folder can make a directory under any name. It concerns that
    name alone: everything else goes on."""

    code = "not-a-file"


def own_card(error: OSError) -> NotPossible:
    """What this kit's own card said, in words, where nobody nearer to it could say more."""
    if isinstance(error, NotPossible):
        return error
    return NotPossible(
        "The memory card in this kit could not be read or written: %(why)s (%(file)s).",
        "Check the memory card: it may be full, read-only or worn out, or another kit "
        "may have written it.",
        why=error.strerror,
        file=error.filename,
    )


def frames(error: BaseException) -> str:
    """What kind of error it is, and the file and line of every frame of it and of what it came
    from. Never what was in it: a message or a value may hold words of a family."""
    told: list[str] = []
    seen: set[int] = set()
    now: BaseException | None = error
    while now is not None and id(now) not in seen:
        seen.add(id(now))
        places = traceback.walk_tb(now.__traceback__)
        way = " > ".join(f"{frame.f_code.co_filename}:{line}" for frame, line in places)
        told.append(f"{type(now).__name__} at {way}")
        now = now.__cause__ or (None if now.__suppress_context__ else now.__context__)
    return "; after ".join(told)


def error_json(arguments: Sequence[str], code: str, sentence: str, hint: str = "") -> str:
    """What a command that was asked for `--json` says when it fails: as a line, or '' if it was not
    asked. The words are on its standard error besides."""
    options = arguments[: arguments.index("--")] if "--" in arguments else arguments
    if "--json" not in options:
        return ""
    told = {"code": code, "message": sentence, "hint": hint}
    return json.dumps({"error": told}) + "\n"
