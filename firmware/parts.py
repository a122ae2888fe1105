"""What the recorder is made of, and what it tells the page of itself."""

from dataclasses import dataclass

from appliance.protocol.status import RecorderStatus, State
from appliance.records.audit import Log
from firmware.books import KitBooks
from firmware.capture import Capture
from firmware.free_space import FreeSpace
from firmware.gate import Gate
from firmware.inbox import Inbox
from firmware.light import Light
from firmware.recorder import Recorder
from firmware.removing import Removals


@dataclass(frozen=True, kw_only=True)
class Parts:
    """The recorder's parts. One thread only, but where a part says otherwise."""

    recorder: Recorder
    light: Light
    capture: Capture
    gate: Gate
    inbox: Inbox
    books: KitBooks
    space: FreeSpace
    removals: Removals
    log: Log
    virtual: bool
    """True where button and light are on the page because there is no hardware."""

    def status(self) -> RecorderStatus:
        """What the page is told."""
        clock, time = self.gate.time.clock, self.gate.time.read()
        reading, now = clock.read(), clock.monotonic()
        recorder, capture, film = self.recorder, self.capture, self.capture.film
        filming = recorder.state is State.FILMING
        permit = film.permit if film and not capture.closed else recorder.permit
        writer, ear = film.writer if film else None, capture.ear
        last, until = recorder.removable, recorder.removable_until
        removable = last and until > now and self.removals.may_remove(last)
        return RecorderStatus(
            kit=self.books.kit,
            verifier=str(self.books.signer.verifier),
            boot=reading.boot,
            boottime=reading.boottime,
            state=recorder.state,
            light=self.light.pattern,
            lit=self.light.lit,
            lamp_proven=self.light.proven,
            clock=time.trust,
            now=time.now,
            other_time=self.gate.time.disagrees,
            reason=recorder.reason,
            case=permit.case if permit else "",
            permit=permit.id if permit else "",
            recording=film.recording if film else "",
            limit=recorder.lasts if film else 0.0,
            remaining=max(recorder.deadline - now, 0.0) if filming else 0.0,
            frames_in=film.sink.pictures if film else 0,
            frames_missed=film.sink.missed if film else 0,
            frames_out=writer.frames if writer else 0,
            segments=writer.segments if writer else 0,
            bytes_sealed=writer.bytes if writer else 0,
            removable=until - now if removable else 0.0,
            ended=writer.ended if writer and capture.closed else None,
            sound=ear.level if ear else None,
            with_sound=ear is not None,
            minutes_free=self.space.seconds() / 60,
            camera=capture.camera.name,
            virtual=self.virtual,
            timings_ms=capture.timings,
            answers=dict(self.inbox.answers),
        )
