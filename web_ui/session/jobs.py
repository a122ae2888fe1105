"""Work in the background: clips, filmstrips, imported films.

Each result is sealed as it is made. If somebody gives a job up, locks the page or withdraws the
case, the job ends and nothing of it stays.
"""

import hashlib
import logging
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from fractions import Fraction
from typing import Literal, TypeAlias

from appliance import memory
from appliance.age.recipients import parse_recipient
from appliance.age.sealing import seal
from appliance.casework.clips import Clip, Words
from appliance.errors import KitError, NotPossible, frames
from appliance.film.joined import JoinedFilm
from appliance.media.apart import Apart
from appliance.records.files import new_id, save
from appliance.vault.cases import OpenCase
from web_ui.player.filmstrip import make_filmstrip

_log = logging.getLogger(__name__)

"""Reports how far a job is, from 0 to 1; raises once nobody wants it any more."""
Lend: TypeAlias = Callable[[], AbstractContextManager[JoinedFilm]]
"""Opens the film of a job when its turn comes."""


class GivenUp(KitError):
    """The job was given up."""

    code = "given-up"


@dataclass
class Job:
    """One piece of work: a clip from `start` to `end` in seconds, a filmstrip, or an imported
    film."""

    id: str
    case: str
    recording: str
    kind: Literal["clip", "filmstrip", "film"]
    start: Fraction = Fraction(0)
    end: Fraction = Fraction(0)
    words: Words = field(default_factory=Words)
    of_review: bool = False
    state: Literal["waiting", "making", "done", "failed"] = "waiting"
    done: float = 0.0
    """How far it is, from 0 to 1."""
    error: KitError | None = None
    notes: Sequence[KitError] = ()
    """What a person should know of a film that was brought in."""
    given_up: bool = False

    def told(self, done: float) -> None:
        """Progress; raises GivenUp when the work is to end here."""
        if self.given_up:
            raise GivenUp("This was given up.")
        self.done = max(self.done, min(done, 0.99))


class Work:
    """The jobs of one practitioner. Any thread; one clip is made at a time."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="clips")
        # One of its own: somebody waits for a clip, and the filmstrip of a long film takes minutes.
        self._looking = ThreadPoolExecutor(1, thread_name_prefix="filmstrips")
        self._bringing = ThreadPoolExecutor(1, thread_name_prefix="imports")
        self._lock = threading.Lock()
        self._jobs: list[Job] = []

    def make_clip(
        self,
        case: OpenCase,
        recording: str,
        span: tuple[Fraction, Fraction],
        words: Words,
        of_review: bool,
        lend: Lend,
        now: Callable[[], datetime],
        apart: Apart,
    ) -> Job:
        """Begin a clip between the marks of `span`, sealed to the case when it is made.

        `now` says the time when it is done.
        """
        job = Job(new_id(), case.id, recording, "clip", *span, words, of_review)

        def make() -> None:
            with lend() as film:
                case.write(_cut_and_sealed(job, case, film, now, apart), job.id)

        self._begin(self._pool, job, make)
        return job

    def look_through(self, case: OpenCase, recording: str, lend: Lend, apart: Apart) -> Job:
        """Begin the filmstrip of a film; returns the job that is under way or has failed, if there
        is one."""
        with self._lock:
            for job in self._jobs:
                if (job.case, job.recording, job.kind) == (case.id, recording, "filmstrip") and (
                    job.state != "done"
                ):
                    return job
        job = Job(new_id(), case.id, recording, "filmstrip")

        def make() -> None:
            with lend() as film:
                make_filmstrip(film, case, recording, job.told, apart)

        self._begin(self._looking, job, make)
        return job

    def bring(self, case: OpenCase, recording: str, make: Callable[[Job], None]) -> Job:
        """Begin to import a film into the case."""
        job = Job(new_id(), case.id, recording, "film")
        self._begin(self._bringing, job, lambda: make(job))
        return job

    def brought(self, case: str) -> list[Job]:
        """The imports of a case: under way, done and failed."""
        with self._lock:
            return [job for job in self._jobs if (job.case, job.kind) == (case, "film")]

    def mend(self, mend_all: Callable[[], None]) -> None:
        """Repair in the background what a power cut left. Nobody waits for it: failures are
        logged."""
        self._pool.submit(self._mend, mend_all)

    def jobs(self, case: str, recording: str = "") -> list[Job]:
        """The clips of a case, or of one film, that are being made or could not be."""
        with self._lock:
            return [
                job
                for job in self._jobs
                if job.kind == "clip" and job.state != "done" and job.case == case
                if recording in ("", job.recording)
            ]

    def give_up(self, case: str, name: str) -> None:
        """End this job, whether it waits, is under way or has failed."""
        with self._lock:
            for job in [job for job in self._jobs if (job.case, job.id) == (case, name)]:
                job.given_up = True
                self._jobs.remove(job)

    def marker(self) -> str:
        """Differs from before when something is finished."""
        with self._lock:
            return " ".join(f"{job.id[:4]}{job.state[0]}" for job in self._jobs)

    def making(self) -> dict[str, int]:
        """Percent of everything that is being made, by its id."""
        with self._lock:
            return {job.id: int(100 * job.done) for job in self._jobs if job.state == "making"}

    def close(self) -> None:
        """Begin nothing more, and end what is under way."""
        with self._lock:
            for job in self._jobs:
                job.given_up = True
        for pool in (self._pool, self._looking, self._bringing):
            pool.shutdown(wait=False, cancel_futures=True)

    def _begin(self, pool: ThreadPoolExecutor, job: Job, make: Callable[[], None]) -> None:
        with self._lock:
            self._jobs.append(job)
        pool.submit(self._run, job, make)

    def _mend(self, mend_all: Callable[[], None]) -> None:
        try:
            mend_all()
        except Exception as error:
            _log.error("mending failed: %s", frames(error))

    def _run(self, job: Job, make: Callable[[], None]) -> None:
        job.state = "making"
        try:
            job.told(0.0)
            make()
        except KitError as error:
            job.error = error
            job.state = "failed"
        except Exception as error:
            # Whatever a library raises over a film: the page says that it failed, the log says
            # where.
            _log.error("a %s failed: %s", job.kind, frames(error))
            job.error = NotPossible("It could not be made.", "Try it again.")
            job.state = "failed"
        else:
            job.done = 1.0
            job.state = "done"
        memory.give_back()


def _cut_and_sealed(
    job: Job, case: OpenCase, film: JoinedFilm, now: Callable[[], datetime], apart: Apart
) -> Clip:
    made, clip = apart.cut(film, job.start, job.end, job.told)
    sealed = seal(clip, [parse_recipient(case.record.recipient)])
    save(case.clips / f"{job.id}.mp4.age", sealed)
    scale = film.frames.timescale
    return Clip(
        id=job.id,
        recording=job.recording,
        start=int(made.first * scale),
        end=int(made.end * scale),
        scale=scale,
        frames=made.frames,
        size=len(sealed),
        sha256=hashlib.sha256(sealed).hexdigest(),
        made=now(),
        words=job.words,
        of_review=job.of_review,
    )
