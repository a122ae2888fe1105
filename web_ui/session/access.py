"""Who may ask for what. Every request is refused unless the page is unlocked in this browser.

A view says itself if it is open to others: `@anyone`, or `@paired` (a browser that once unlocked
this kit). Players and scripts ask for views marked `@data`: a refusal is then one line instead of
the way to the passphrase, and such a request does not put the idle lock off.
"""

import hashlib
import hmac
import ipaddress
import secrets
import threading
from collections.abc import Callable, Set
from contextlib import suppress
from typing import Any, TypeVar
from urllib.parse import quote

from flask import Flask, Response, abort, g, redirect, render_template, request, session, url_for
from flask.sessions import SecureCookieSessionInterface, SessionMixin
from flask.typing import ResponseReturnValue

from appliance.records.files import Fact, Home, load_fact, save_fact
from web_ui.parts import Parts
from web_ui.session.enrolment import is_new_card
from web_ui.wording.language import _

NAMES = frozenset({"localhost", "attune.local"})
"""Host names of any kit; its settings may add some. IP addresses need no list: only a name can be
rebound."""

STRANGERS = 6
"""Forms taken at once from browsers that never unlocked this kit. A form that is sent slowly holds
a thread: strangers must leave some for Stop and for practitioners."""

AT_ONCE = 8
"""Requests answered at once for one address, from browsers that never unlocked this kit. Any more
are turned away at once and keep nobody waiting."""

PAIRED_COOKIE = "__Host-attune-paired"
_PAIRED_BROWSERS = 20
_SESSION = "session"
_NEXT = "next"
_LOST = "lost"

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' data:; media-src 'self'; connect-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
    # Not no-referrer: a browser would then send "Origin: null" with our own forms.
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}

_View = TypeVar("_View", bound=Callable[..., Any])


def anyone(view: _View) -> _View:
    """This view is for everybody who can reach the kit, locked or not."""
    view.open_to = "anyone"  # type: ignore[attr-defined]
    return view


def paired(view: _View) -> _View:
    """This view is also for a browser that has unlocked this kit before."""
    view.open_to = "paired"  # type: ignore[attr-defined]
    return view


def even_new(view: _View) -> _View:
    """This view is also for a new card that the service has not let in yet: somebody said that they
    forgot their passphrase and pressed the button, and nobody has confirmed who they are."""
    view.open_to_new = True  # type: ignore[attr-defined]
    return view


def data(view: _View) -> _View:
    """A player or a script asks for this view, not a person."""
    view.for_scripts = True  # type: ignore[attr-defined]
    return view


def is_for_scripts(app: Flask) -> bool:
    """Whether a player or a script asks now, and not a person."""
    return getattr(app.view_functions.get(request.endpoint or ""), "for_scripts", False)


class Paired(Fact, frozen=True, kw_only=True, tag="paired/v1"):
    """The browsers that have unlocked this kit: `_digest` of each cookie, the newest last."""

    digests: tuple[str, ...] = ()


def install(app: Flask, parts: Parts) -> None:
    """Check every request before any view sees it, and mark every answer."""
    door = _Door(app, parts)
    app.session_interface = _OwnSessions()
    app.before_request(door.admit)
    app.teardown_request(door.leave)
    app.after_request(_mark)


class _Door:
    """Who gets as far as a view. Any thread."""

    def __init__(self, app: Flask, parts: Parts) -> None:
        self._app = app
        self._parts = parts
        self._names = NAMES.union(parts.config.names)
        self._places = threading.BoundedSemaphore(STRANGERS)
        self._guests = _Guests()

    def admit(self) -> ResponseReturnValue | None:
        g.foreign = True
        if not _is_our_name(request.host, self._names):
            # Not one of our pages: whoever owns that name could read it.
            return Response(_("This kit has a different name.") + "\n", 400, mimetype="text/plain")
        g.foreign = _is_from_elsewhere()
        if g.foreign:
            return _step_in()
        look_again(self._parts)
        g.paired = g.practitioner is not None or _is_paired(self._parts)
        if not g.paired and not self._has_room():
            return Response("Too many at once.\n", 503, mimetype="text/plain")
        return self._stop_at_view()

    def leave(self, _error: BaseException | None) -> None:
        if g.pop("place", False):
            self._places.release()
        self._guests.leave(g.pop("guest", ""))

    def _has_room(self) -> bool:
        """Whether one more request of a stranger is answered now."""
        if request.method not in ("GET", "HEAD", "OPTIONS"):
            g.place = self._places.acquire(blocking=False)
            if not g.place:
                abort(503, _("Too many people are saving at once. Wait a moment, then try again."))
            return True
        # Whoever sends a form slowly has a place already, and may look at pages meanwhile.
        g.guest = self._guests.enter(request.remote_addr or "")
        return bool(g.guest)

    def _stop_at_view(self) -> ResponseReturnValue | None:
        """The answer to a request that this view is not open to, None if it is."""
        view = self._app.view_functions.get(request.endpoint or "")
        for_scripts = is_for_scripts(self._app)
        if g.practitioner and not for_scripts:
            self._parts.session.used()
        open_to = getattr(view, "open_to", "practitioner")
        waits = g.practitioner and is_new_card(self._parts.home, g.practitioner.card.name)
        if waits and open_to == "practitioner" and not hasattr(view, "open_to_new"):
            return abort(403) if for_scripts else redirect(url_for("forgotten.show"), 303)
        if g.practitioner or open_to == "anyone" or (open_to == "paired" and g.paired):
            return None
        if for_scripts:
            abort(403)
        return self._to_unlock()

    def _to_unlock(self) -> ResponseReturnValue:
        if self._parts.enrolled is None:
            return redirect(url_for("setup.show"), 303)
        rule = request.url_rule
        if rule is not None and "GET" in (rule.methods or ()):
            session[_NEXT] = this_page()
        session[_LOST] = request.method != "GET"
        return redirect(url_for("unlock.show"), 303)


def _mark(response: Response) -> Response:
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    response.headers.setdefault("Cache-Control", "no-store")
    return response


def look_again(parts: Parts) -> None:
    """Look who is unlocked in this browser now. An answer that goes on for long asks again."""
    if parts.session.idle:
        parts.lock("locked-idle")
    g.practitioner = parts.session.of(session.get(_SESSION, ""))


def begin_session(token: str) -> str:
    """Unlock the page in this browser; returns where it wanted to go."""
    wanted: str = session.get(_NEXT, "/")
    session.clear()
    session[_SESSION] = token
    return wanted


def lost_a_form() -> bool:
    """True if this browser sent a form that the lock refused, and came to the unlock page."""
    return bool(session.get(_LOST))


def end_session() -> None:
    """Forget this browser's token."""
    session.clear()


def pair(parts: Parts, response: Response) -> None:
    """Let this browser stop a film even while the page is locked."""
    if _is_paired(parts):
        return
    cookie, path = secrets.token_urlsafe(32), parts.home.keys.paired
    digests = (*_paired(parts.home).digests, _digest(parts, cookie))
    save_fact(path, Paired(digests=digests[-_PAIRED_BROWSERS:]))
    response.set_cookie(
        PAIRED_COOKIE, cookie, max_age=400 * 86400, secure=True, httponly=True, samesite="Strict"
    )


def local_path(wanted: str) -> str:
    """`wanted` if it is a path on this kit, otherwise the front page."""
    ours = wanted.startswith("/") and not wanted.startswith("//") and "\\" not in wanted
    return wanted if ours else "/"


def this_page() -> str:
    """The address that was asked for, with what stands behind its `?`: where to go on after a
    question, a lock or a Stop came between."""
    asked = request.query_string.decode("ascii", "replace")
    return local_path(quote(request.path)) + (f"?{asked}" if asked else "")


def _paired(home: Home) -> Paired:
    return load_fact(home.keys.paired, Paired) or Paired()


def _is_paired(parts: Parts) -> bool:
    cookie = request.cookies.get(PAIRED_COOKIE)
    if not cookie:
        return False
    digest = _digest(parts, cookie)
    return any(hmac.compare_digest(digest, known) for known in _paired(parts.home).digests)


def _digest(parts: Parts, cookie: str) -> str:
    """What is kept of a paired browser. It depends on whom the service has revoked: a new
    revocation forgets every browser, as nobody knows whose each one is. Practitioners pair theirs
    again when they next unlock."""
    enrolled = parts.enrolled
    former = sorted(card.name for card in enrolled.former) if enrolled else []
    return hashlib.sha256("\n".join((cookie, *former)).encode()).hexdigest()


def _is_our_name(host: str, names: Set[str]) -> bool:
    """False for a name that a hostile site pointed at this kit (DNS rebinding)."""
    has_port = host.rpartition(":")[2].isdecimal()
    name = (host.rpartition(":")[0] if has_port else host).lower().rstrip(".")
    if name in names:
        return True
    with suppress(ValueError):
        ipaddress.ip_address(name.strip("[]"))
        return True
    return False


class _OwnSessions(SecureCookieSessionInterface):
    """No request from another site writes a session. A browser does not send our cookies with such
    a request, so the answer would replace the session that is unlocked with an empty one."""

    def save_session(self, app: Flask, session: SessionMixin, response: Response) -> None:
        if not g.get("foreign", True):
            super().save_session(app, session, response)


class _Guests:
    """Counts the requests of each address that are being answered. Any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._of: dict[str, int] = {}

    def enter(self, address: str) -> str:
        """The address if there is room for one more, otherwise ''."""
        address = address or "?"
        with self._lock:
            if self._of.get(address, 0) >= AT_ONCE:
                return ""
            self._of[address] = self._of.get(address, 0) + 1
            return address

    def leave(self, address: str) -> None:
        """One was answered. Nothing for ''."""
        if address:
            with self._lock:
                self._of[address] -= 1
                if not self._of[address]:
                    del self._of[address]


def _is_from_elsewhere() -> bool:
    """True if another site's page sent this request. `none` means that somebody typed the address
    or has a bookmark."""
    ours = f"https://{request.host}"
    origin, site = request.headers.get("Origin"), request.headers.get("Sec-Fetch-Site")
    if origin is not None and origin != ours:
        return True
    if site is not None:
        return site not in ("same-origin", "none")
    # An older browser says at most where it comes from.
    referrer = request.headers.get("Referer", ours)
    return referrer != ours and not referrer.startswith(f"{ours}/")


def _step_in() -> ResponseReturnValue:
    """Answer a request from another site. Somebody who follows a link gets a page of ours that
    opens the same address again, now with our cookies. Everything else is refused."""
    opens = request.headers.get("Sec-Fetch-Dest", "document") == "document"
    if request.method != "GET" or not opens or "Origin" in request.headers:
        abort(403, _("This came from another site."))
    return Response(render_template("step-in.html", here=this_page()))
