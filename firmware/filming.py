"""One film: from the camera's sink through the muxer and the seal to the card."""

import logging
from collections.abc import Callable

from appliance.age.recipients import parse_recipient
from appliance.errors import BadInput
from appliance.film.manifest import EndReason, FilmStarted
from appliance.protocol.permits import Permit, recipient_digest
from appliance.records.files import new_id
from firmware.camera import GuardedSink, OnEnd
from firmware.writer import QUEUE_SECONDS, FilmParts, FilmWriter

_errors = logging.getLogger(__name__)

OnClosed = Callable[[EndReason | None], None]
"""Told, from the writer's thread, that the film is closed, and what went wrong."""


class Film:
    """A film under way, or the last one. The runner's thread, but for what the sink is given."""

    def __init__(
        self, parts: FilmParts, permit: Permit, sound: bool, on_end: OnEnd, on_closed: OnClosed
    ) -> None:
        """Raises BadInput for a time that is not trusted: a film without a date is none."""
        # Loaded with the camera: an idle recorder does not need it.
        from firmware.muxer import SOUND_BIT_RATE, Muxer

        self.permit = permit
        self.recording = new_id()
        started = parts.now()
        if started is None:
            raise BadInput("No film begins while the time is not certain.")
        self.writer = FilmWriter(
            parts,
            FilmStarted(
                recording=self.recording,
                case=permit.case,
                kit=permit.kit,
                permit=permit.id,
                consent=permit.consent,
                recipient=recipient_digest(permit.recipient),
                kind=permit.kind,
                limit=permit.limit,
                sound=sound,
                boot=permit.boot,
                started=started,
            ),
            parse_recipient(permit.recipient),
            # Twice what so many seconds should take: an encoder may stray from its bit rate.
            most_waiting=2 * QUEUE_SECONDS * (parts.config.bits_a_second + SOUND_BIT_RATE) // 8,
            on_failure=on_end,
            on_closed=on_closed,
        )
        self._muxer = Muxer(self.writer.write, sound, busy=lambda: self.writer.busy)
        clock = parts.clock
        until = clock.monotonic() + permit.left(started)
        self.sink = GuardedSink(self._muxer, permit.limit, clock, on_end, until)

    def finish(self, why: EndReason) -> None:
        """Take nothing more, write what is held back and close it. `on_closed` follows."""
        self.sink.close()
        try:
            self._muxer.close()
        except Exception:
            # Whatever libav raises: what is sealed is worth closing all the same.
            _errors.exception("the muxer could not be closed")
        self.writer.finish(why)
