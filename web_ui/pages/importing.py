"""Import a film that was made elsewhere: on a phone, or over a video call.

Each piece goes straight into `appliance.casework.importing.Original` as it arrives, so no part is
ever in a file in clear. The page checks who asks, and whether the family agreed, before it takes
the first byte.
"""

import io
import shutil
from datetime import datetime
from typing import IO, cast

from flask import Blueprint, Flask, abort, g, redirect, request, url_for
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import BadRequest

from appliance.age.recipients import parse_recipient
from appliance.casework.consent import Consent, consent_of, may_be_made
from appliance.casework.course import course_of, stops_filming
from appliance.casework.importing import LARGEST, Original, import_film
from appliance.errors import BadInput, NotOpened, NotPossible
from appliance.film.manifest import FilmStarted
from appliance.protocol.permits import recipient_digest
from appliance.records.files import new_id
from appliance.vault.cases import OpenCase
from web_ui import forms
from web_ui.answers import only_where_offered
from web_ui.parts import Parts, parts
from web_ui.session.current import case_page, open_case, practitioner
from web_ui.session.jobs import Job
from web_ui.wording.language import _

FIELD = "film"
_SEND = "importing.send"
_AROUND = 1 << 20
"""Bytes of a request that are not the film: its form, at most."""
_LEFT_FREE = 1 << 30
"""Bytes that stay free on the card: films made here come first."""


class NotAgreed(NotOpened):
    """The family has not agreed to this."""

    code = "not-agreed"


def install(app: Flask) -> None:
    """Take uploads: after `access`, which looks who is unlocked, and before a form is read."""
    app.request_class = _Request
    app.before_request(_admit)
    app.teardown_request(_drop)


class _Request(forms.Request):
    def _get_file_stream(
        self,
        total_content_length: int | None,
        content_type: str | None,
        filename: str | None = None,
        content_length: int | None = None,
    ) -> IO[bytes]:
        """Where a file that is being sent goes: never into a temporary file in clear."""
        if request.endpoint != _SEND:
            return io.BytesIO()  # A key or a file of settings: no form is larger than that.
        original = g.pop("original", None)
        if original is None:
            raise BadRequest
        g.uploaded = original
        case = (request.view_args or {})["case"]
        return cast(IO[bytes], _Arriving(original, case))


def _admit() -> None:
    if request.endpoint != _SEND:
        return
    case = open_case((request.view_args or {}).get("case", ""))
    _check_offered()
    _gate(parts(), case, practitioner().now(parts().clock))
    length = request.content_length
    if length is None:
        abort(411)
    if length > LARGEST:
        raise BadInput(
            _("The film is bigger than %(size)s GB.", size=LARGEST >> 30),
            _("Save a smaller copy of it on the device it is on, and add that."),
        )
    if shutil.disk_usage(parts().home.cases).free < 2 * length + _LEFT_FREE:
        raise NotPossible(
            _("There is not enough room on the memory card for this film."),
            _("Uploading does not make room. Tell the person who looks after this kit."),
        )
    request.max_content_length = length + _AROUND
    g.original = Original(parts().home.cases)


def _drop(_error: BaseException | None) -> None:
    for name in ("original", "uploaded"):
        original = g.pop(name, None)
        if original is not None:
            original.close()


class _Arriving:
    """The film while it arrives: werkzeug writes the upload to it."""

    def __init__(self, original: Original, case: str) -> None:
        self._original, self._case, self._holder = original, case, practitioner()

    def write(self, data: bytes) -> int:
        # Ends here if it was withdrawn or locked meanwhile.
        self._holder.case(self._case)
        parts().session.watched()
        return self._original.write(data)

    def seek(self, offset: int, whence: int = 0, /) -> int:
        # Called once at the end; nobody reads through this.
        return 0

    def close(self) -> None:
        pass


pages = Blueprint("importing", __name__, url_prefix="/cases/<id:case>/import")


def _page(case: str, error: str = "") -> str:
    opened = open_case(case)
    consent = consent_of(opened)
    stops = _what_stops(parts(), opened, consent, practitioner().now(parts().clock))
    return case_page(
        "import.html",
        opened,
        consent=consent,
        stops=stops,
        jobs=practitioner().work.brought(case),
        largest=LARGEST,
        error=error,
    )


@pages.get("")
def show(case: str) -> ResponseReturnValue:
    return _page(case)


@pages.post("")
def send(case: str) -> ResponseReturnValue:
    # A thread of its own imports the film; it has no `parts()`.
    holder, opened, ours = practitioner(), open_case(case), parts()
    original: Original | None = g.get("uploaded")
    if FIELD not in request.files or original is None or not original.size:
        return _page(case, _("Choose a film. That file is empty.")), 400
    found = opened.read_with_digest(Consent)
    if found is None:
        raise NotAgreed(_("Record consent first."))
    started = FilmStarted(
        recording=new_id(),
        case=case,
        kit=holder.vouch.kit,
        permit="",
        consent=found[1],
        recipient=recipient_digest(opened.record.recipient),
        kind="imported",
        limit=found[0].limit,
        sound=False,
        boot=ours.clock.read().boot,
        started=holder.now(ours.clock),
    )

    def make(job: Job) -> None:
        def progress(done: float) -> None:
            job.told(done)
            ours.session.watched()
            again = holder.case(case)
            if again.record.recipient != opened.record.recipient:
                # Somebody left or was revoked meanwhile, and has the old key.
                raise NotAgreed(_("This family has a new key."), _("Add the film again."))
            if done == 1.0:
                # Once more at the end, when it becomes a film of the case.
                _gate(ours, again, holder.now(ours.clock))

        try:
            job.notes = import_film(
                original,
                opened.directory.imports / started.recording,
                started,
                parse_recipient(opened.record.recipient),
                holder.keys.signer,
                lambda: holder.now(ours.clock),
                ours.apart,
                progress,
            )
        finally:
            original.close()
        ours.note("imported", case=case, recording=started.recording)

    g.pop("uploaded")  # It is the work's now.
    holder.work.bring(opened, started.recording, make)
    ours.note("import-asked", case=case, recording=started.recording)
    return redirect(url_for("importing.show", case=case), 303)


@pages.post("/<id:job>/stop")
def stop(case: str, job: str) -> ResponseReturnValue:
    open_case(case)
    practitioner().work.give_up(case, job)
    return redirect(url_for("importing.show", case=case), 303)


@pages.before_request
def _check_offered() -> None:
    only_where_offered("import", _("Your service does not add films made elsewhere."))


def _gate(ours: Parts, case: OpenCase, now: datetime) -> None:
    """Raises NotAgreed, in words, unless films of this family may be made now."""
    consent = consent_of(case)
    stop = stops_filming(course_of(case), consent)
    stops = _(stop.sentence) if stop else _what_stops(ours, case, consent, now)
    if stops:
        raise NotAgreed(stops)


def _what_stops(ours: Parts, case: OpenCase, consent: Consent | None, now: datetime) -> str:
    """Why no film may be brought in, in words; '' if one may be."""
    if consent is None:
        return _("Record consent first.")
    if not may_be_made(consent, now, "imported"):
        return _("The consent on record does not allow filming now.")
    if ours.recorder.has_strangers(case):
        return _(
            "Your service has removed someone who worked with this family from this kit. "
            "Give the family a new key first, under Who works with this family."
        )
    return ""
