"""A film of a case: playing it, marking a moment, and the clips that were made of it."""

import re
from collections.abc import Callable
from fractions import Fraction

from flask import Blueprint, Response, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from appliance import boxes
from appliance.cases import Clip, Details, OpenCase
from appliance.errors import BadInput
from web_ui.access import data, practitioner
from web_ui.cases import open_case
from web_ui.language import _
from web_ui.parts import Parts
from web_ui.ranges import play
from web_ui.viewing import OpenedView, Readable, Viewing

LONGEST_CLIP = 300
"""Seconds: a clip is held in memory while it is cut."""
LONG_CLIP = 60
"""Seconds past which the page gently says that clips are usually shorter."""
MANY_CLIPS = 3
NOTE_LENGTH = 500
_PLACE = re.compile(r"(?:(?P<minutes>\d{1,4}):)?(?P<seconds>\d{1,6}(?:\.\d{1,9})?)")
REACH_BACK, REACH_ON = 8, 6
"""Seconds that 'that was it' takes from before and after the moment it is pressed."""


def blueprint(parts: Parts) -> Blueprint:
    pages = Blueprint("films", __name__, url_prefix="/cases/<id:case>")

    def opened_film(case: str, film: str) -> OpenedView:
        return practitioner().viewing.film(open_case(case), film)

    def page(case: str, film: str, refused: BadInput | None = None) -> str:
        view = opened_film(case, film)
        opened = open_case(case)
        every = opened.read_all(Clip)
        clips = sorted(
            (clip for clip in every if clip.recording == film), key=lambda c: (c.start, c.end)
        )
        return render_template(
            "film.html",
            case=opened,
            details=opened.read(Details),
            film=view.opened,
            id=film,
            clips=clips,
            many=len(every) > MANY_CLIPS,
            long_clip=LONG_CLIP,
            jobs=practitioner().work.jobs(case, film),
            reach=(REACH_BACK, REACH_ON),
            refused=refused,
            sent=request.form,
        )

    @pages.get("/films/<id:film>")
    def show(case: str, film: str) -> ResponseReturnValue:
        return page(case, film)

    @pages.get("/films/<id:film>/video")
    @data
    def video(case: str, film: str) -> Response:
        parts.seat.watched()
        return play(_again(case, lambda viewing, opened: viewing.film(opened, film)))

    @pages.get("/films/<id:film>/frames.json")
    @data
    def frames(case: str, film: str) -> ResponseReturnValue:
        """When each frame is shown: ticks a second, the first, then (how many, how long) pairs."""
        table = opened_film(case, film).opened.film.frames
        following = [*table.ticks[1:], table.end_ticks]
        steps = boxes.counted(b - a for a, b in zip(table.ticks, following, strict=True))
        return {"scale": table.timescale, "first": table.ticks[0], "steps": list(steps)}

    @pages.post("/films/<id:film>/clips")
    def mark(case: str, film: str) -> ResponseReturnValue:
        holder = practitioner()
        opened = open_case(case)
        try:
            span = _span(opened_film(case, film).opened.film.seconds)
            note = request.form.get("note", "").strip()
            if len(note) > NOTE_LENGTH:
                raise BadInput(_("Use at most %(count)s characters.", count=NOTE_LENGTH))
        except BadInput as error:
            return page(case, film, error), 400
        job = holder.work.make_clip(
            opened,
            film,
            span,
            note,
            lambda: holder.viewing.lend(opened, film),
            lambda: holder.now(parts.clock),
        )
        parts.note("clip-asked", case=case, recording=film, clip=job.id)
        return redirect(url_for("films.show", case=case, film=film, _anchor="clips"), 303)

    @pages.get("/clips/<id:clip>/video")
    @data
    def clip_video(case: str, clip: str) -> Response:
        parts.seat.watched()
        return play(_again(case, lambda viewing, opened: viewing.clip(opened, clip)))

    return pages


def _again(case: str, pick: Callable[[Viewing, OpenCase], Readable]) -> Callable[[], Readable]:
    """What opens a film or clip now and, for each piece that is sent, once more."""
    holder = practitioner()
    open_case(case)
    return lambda: pick(holder.viewing, holder.case(case))


def _span(length: Fraction) -> tuple[Fraction, Fraction]:
    """The marks that were sent, in seconds. Raises BadInput, in words, for what are no marks."""
    start, end = (_seconds(request.form.get(name, "")) for name in ("start", "end"))
    if not 0 <= start < end or start >= length:
        raise BadInput(
            _("The marks are not in order, or not in this film."),
            _("Set where the moment begins, then where it ends."),
        )
    if end - start > LONGEST_CLIP:
        raise BadInput(
            _("A clip can be at most %(minutes)s minutes long.", minutes=LONGEST_CLIP // 60),
            _("Choose the part in which it happens; a minute is usually plenty."),
        )
    return start, min(end, length)


def _seconds(text: str) -> Fraction:
    """'75.5' or '1:15.5' in seconds. Raises BadInput."""
    found = _PLACE.fullmatch(text.strip().replace(",", "."))
    if not found:
        raise BadInput(
            _("Where the moment begins and ends could not be read."),
            _("Write seconds, such as 75.5, or minutes and seconds, such as 1:15.5."),
        )
    return 60 * Fraction(found["minutes"] or 0) + Fraction(found["seconds"])
