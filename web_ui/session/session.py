"""The one session of the kit: which practitioner is unlocked, in which browser, and for how long.

It holds the unlocked key, which is nowhere else. The session ends when the practitioner locks the
page, after ten minutes without use, and with the process. While somebody films or watches a film
the ten minutes start again, but never beyond ninety.
"""

import hmac
import secrets
import threading
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from appliance.errors import KitError, NotOpened
from appliance.records.clock import Clock

if TYPE_CHECKING:
    from web_ui.session.unlocked import Practitioner

IDLE_SECONDS = 600.0
PUT_OFF_SECONDS = 5400.0
"""A film under way or a shared review puts the idle lock off, at most this long."""

LONGEST_WAIT = 300.0
"""Seconds: the longest delay after wrong passphrases. Nothing is ever wiped."""

_T = TypeVar("_T")


class Taken(KitError):
    """Somebody else is unlocked."""

    code = "taken"


class TooSoon(KitError):
    """Too many wrong passphrases; `seconds` must pass first."""

    code = "too-soon"

    def __init__(self, seconds: float) -> None:
        super().__init__("The passphrase was wrong several times.", "Wait, then try again.")
        self.seconds = seconds


@dataclass
class _Guesses:
    """The wrong passphrases of some browsers, and when the next may be tried."""

    wrong: int = 0
    next_try: float = 0.0


class Session:
    """Who is unlocked. One practitioner in one browser; any thread may ask."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._trying = threading.Lock()
        """One passphrase at a time: scrypt takes 128 MiB."""
        self._stranger_tries = threading.Lock()
        """One stranger at a time waits for `_trying`."""
        self._of_strangers = _Guesses()
        self._of_known = _Guesses()
        """Apart, so that somebody who has only the Wi-Fi key cannot keep practitioners out by
        guessing again and again. The passphrase keeps a thief out."""
        self._holder: Practitioner | None = None
        self._token = ""
        self._used = 0.0
        self._watched = 0.0

    def begin(self, unlock: Callable[[], "Practitioner"], known: bool = False) -> str:
        """Unlock with `unlock`; returns the token that names this browser from now on.

        `known`: this browser has unlocked this kit before. A practitioner who is unlocked in
        another browser already goes on here with all they have under way. Raises Taken while
        somebody else is unlocked, TooSoon after wrong passphrases, and whatever `unlock` raises.
        One passphrase is tried at a time.
        """
        with nullcontext() if known else self._stranger_tries, self._trying:
            practitioner = self._tried(self._of_known if known else self._of_strangers, unlock)
            with self._lock:
                before = self._holder
                if before is None:
                    self._holder = practitioner
                elif before.card == practitioner.card:
                    before.vouch = practitioner.vouch
                if before is None or before.card == practitioner.card:
                    self._token = secrets.token_urlsafe(32)
                    self._used = self._watched = self._clock.monotonic()
                    token = self._token
                else:
                    token = ""
            if before is not None:
                practitioner.close()
            if not token:
                raise Taken(
                    "Someone else has this kit unlocked on another device.",
                    "Lock it there first, or wait until it locks itself.",
                )
            return token

    def prove(self, passphrase_opens: Callable[[], None]) -> None:
        """Try the passphrase of whoever is unlocked once more, with the same delay after a wrong
        one. Raises TooSoon, and whatever `passphrase_opens` raises."""
        with self._trying:
            self._tried(self._of_known, passphrase_opens)

    def _tried(self, guesses: _Guesses, attempt: Callable[[], _T]) -> _T:
        """Only while `_trying` is held."""
        wait = guesses.next_try - self._clock.monotonic()
        if wait > 0:
            raise TooSoon(wait)
        try:
            found = attempt()
        except NotOpened:
            guesses.wrong += 1
            # The exponent is bounded: no guesser makes the number too large.
            delay = min(2.0 ** min(guesses.wrong - 1, 30), LONGEST_WAIT)
            guesses.next_try = self._clock.monotonic() + delay
            raise
        guesses.wrong = 0
        return found

    def of(self, token: str) -> "Practitioner | None":
        """Who is unlocked, if this token is theirs."""
        with self._lock:
            mine = self._holder and hmac.compare_digest(token.encode(), self._token.encode())
            return self._holder if mine else None

    @property
    def holder(self) -> "Practitioner | None":
        """Who is unlocked, for what the kit does by itself. Do not keep it: it ends with a lock."""
        with self._lock:
            return self._holder

    @property
    def unlocked(self) -> bool:
        with self._lock:
            return self._holder is not None

    def forget(self, case: str) -> None:
        """Close what is open of a case."""
        with self._lock:
            holder = self._holder
        if holder:
            holder.forget(case)

    def used(self) -> None:
        """Something was done on the page just now."""
        with self._lock:
            self._used = self._watched = self._clock.monotonic()

    def watched(self) -> None:
        """Somebody films or plays a film: put the idle lock off."""
        with self._lock:
            self._watched = self._clock.monotonic()

    @property
    def idle(self) -> bool:
        """True if somebody is unlocked and the time without use is over."""
        with self._lock:
            now = self._clock.monotonic()
            return self._holder is not None and (
                now - self._watched >= IDLE_SECONDS or now - self._used >= PUT_OFF_SECONDS
            )

    def end(self) -> "Practitioner | None":
        """Close the key and everything it opened; returns whose it was. `Parts.lock` locks the
        page: it ends this process too."""
        with self._lock:
            holder, self._holder, self._token = self._holder, None, ""
        if holder:
            holder.close()
        return holder
