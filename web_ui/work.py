"""Clips being made: one after the other, in the background, with how far each is.

A clip goes straight into its seal. What is being made when the page is locked or the case is
withdrawn is given up, and nothing of it stays.
"""

import hashlib
import logging
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from pathlib import Path
from typing import IO, Literal, cast

from appliance.cases import Clip, OpenCase
from appliance.cutting import Cut, cut
from appliance.errors import KitError, NotPossible
from appliance.files import new_id, sync_directory
from appliance.identities import parse_recipient
from appliance.joined import JoinedFile, JoinedFilm
from appliance.sealing import Bytes, SealedWriter

_log = logging.getLogger(__name__)


@dataclass
class Job:
    """One clip being made, from `start` to `end` in seconds of its film."""

    id: str
    case: str
    recording: str
    start: Fraction
    end: Fraction
    note: str
    state: Literal["waiting", "cutting", "done", "failed"] = "waiting"
    done: float = 0.0
    """How far it is, from 0 to 1, as far as can be told from what was read of the film."""
    error: KitError | None = None


class Work:
    """What one practitioner has asked for. Any thread; one clip is made at a time."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="clips")
        self._lock = threading.Lock()
        self._jobs: list[Job] = []

    def make_clip(
        self,
        case: OpenCase,
        recording: str,
        span: tuple[Fraction, Fraction],
        note: str,
        lend: Callable[[], AbstractContextManager[JoinedFilm]],
        now: Callable[[], datetime],
    ) -> Job:
        """Begin a clip between the marks of `span`, sealed to the case when it is made.

        `lend` opens the film when its turn comes, `now` says the time when it is done.
        """
        job = Job(new_id(), case.id, recording, *span, note)
        with self._lock:
            self._jobs.append(job)
        self._pool.submit(self._make, job, case, lend, now)
        return job

    def mend(self, mend_all: Callable[[], None]) -> None:
        """Mend in the background what the power cut. Nobody waits for it: failures are logged."""
        self._pool.submit(self._mend, mend_all)

    def jobs(self, case: str, recording: str) -> list[Job]:
        """The clips of a film that are being made, or could not be."""
        with self._lock:
            return [
                job
                for job in self._jobs
                if (job.case, job.recording) == (case, recording) and job.state != "done"
            ]

    def marker(self) -> str:
        """Differs from before when a clip is finished."""
        with self._lock:
            return " ".join(f"{job.id[:4]}{job.state[0]}" for job in self._jobs)

    def making(self) -> dict[str, int]:
        """Percent of each clip that is being made, by its id."""
        with self._lock:
            return {job.id: int(100 * job.done) for job in self._jobs if job.state == "cutting"}

    def close(self) -> None:
        """Begin nothing more. What is under way ends by itself: its film is closed."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _mend(self, mend_all: Callable[[], None]) -> None:
        try:
            mend_all()
        except Exception as error:
            _log.error("mending failed: %s", type(error).__name__)

    def _make(
        self,
        job: Job,
        case: OpenCase,
        lend: Callable[[], AbstractContextManager[JoinedFilm]],
        now: Callable[[], datetime],
    ) -> None:
        job.state = "cutting"
        try:
            with lend() as film:
                case.write(_cut_and_sealed(job, case, film, now), job.id)
        except KitError as error:
            job.error = error
            job.state = "failed"
        except Exception as error:
            # Whatever a library may raise over a film, the person is told; where, is logged.
            _log.error("a clip failed: %s", type(error).__name__)
            job.error = NotPossible("The clip could not be made.", "Mark it again.")
            job.state = "failed"
        else:
            job.done = 1.0
            job.state = "done"


def _cut_and_sealed(
    job: Job, case: OpenCase, film: JoinedFilm, now: Callable[[], datetime]
) -> Clip:
    source = cast(IO[bytes], _Watched(film, job))
    path = case.clips / f"{job.id}.mp4.age"
    made, size, sha256 = _sealed(path, case, lambda out: cut(source, job.start, job.end, out))
    scale = film.frames.timescale
    return Clip(
        id=job.id,
        recording=job.recording,
        start=int(made.first * scale),
        end=int(made.end * scale),
        scale=scale,
        note=job.note,
        frames=made.frames,
        size=size,
        sha256=sha256,
        made=now(),
    )


class _Watched(JoinedFile):
    """A film that is being cut: how far the reading has come tells how far the clip is."""

    def __init__(self, film: JoinedFilm, job: Job) -> None:
        super().__init__(film)
        self._job = job
        length = float(film.seconds)
        self._from = film.size * float(job.start) / length
        self._span = film.size * float(job.end - job.start) / length

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        count = super().readinto(buffer)
        come = (self.tell() - self._from) / self._span if self._span > 0 else 0.0
        # The last part is the encoder's; and the film's head, read first, tells nothing.
        if come <= 1.2:
            self._job.done = max(self._job.done, min(come, 0.99))
        return count


class _Digested:
    """A file that is written, its size and its digest."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.size = 0
        self.digest = hashlib.sha256()

    def write(self, data: Bytes) -> int:
        self._file.write(data)
        self.digest.update(data)
        self.size += len(data)
        return len(data)


def _sealed(path: Path, case: OpenCase, write: Callable[[IO[bytes]], Cut]) -> tuple[Cut, int, str]:
    """What `write` puts out, sealed to the case under `path`, whole or not at all.

    Returns what `write` returned, and size and SHA-256 of the sealed file, which is on the card.
    """
    temporary = path.with_name(f".{path.name}.new")
    try:
        with temporary.open("xb") as file:
            sealed = _Digested(file)
            writer = SealedWriter(sealed, [parse_recipient(case.record.recipient)])
            made = write(cast(IO[bytes], writer))
            writer.close()
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        sync_directory(path.parent)
    except OSError as error:
        if isinstance(error, KitError):
            raise
        raise NotPossible(
            f"The clip could not be kept: {error.strerror}.", "Look at the card: is it full?"
        ) from error
    finally:
        temporary.unlink(missing_ok=True)
    return made, sealed.size, sealed.digest.hexdigest()
