"""What a trial of a kit saw: its steps, what a film held, and the promise that was broken."""

import io
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

import av
import msgspec

from appliance.errors import KitError
from appliance.film.joined import JoinedFile


class PromiseBroken(KitError):
    code = "promise-broken"


class Step(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One thing that was tried: what it was, whether it held, what was seen."""

    name: str
    ok: bool
    saw: str


class Trial:
    """Tries one thing after the other; `show` hears of each."""

    def __init__(self, show: Callable[[Step], object]) -> None:
        self.steps: list[Step] = []
        self._show = show

    def step(self, name: str, act: Callable[[], str]) -> None:
        """Try one thing, which says what was seen. An error is shown as well, and passes on."""
        try:
            saw = act()
        except KitError as error:
            self.done(Step(name, False, str(error)))
            raise
        self.done(Step(name, True, saw))

    def done(self, step: Step) -> None:
        self.steps.append(step)
        self._show(step)


@dataclass(frozen=True)
class Seen:
    """What a film held when it was decoded from its first frame to its last."""

    times: tuple[Fraction, ...]
    """When each frame is shown, in seconds."""
    sound_seconds: float

    @classmethod
    def of(cls, film: bytes | JoinedFile) -> "Seen":
        """Decode a whole film. Raises PromiseBroken if it is none."""
        times: list[Fraction] = []
        sound = 0.0
        try:
            with av.open(io.BytesIO(film) if isinstance(film, bytes) else film, "r") as container:
                for packet in container.demux():
                    for frame in packet.decode():
                        if isinstance(frame, av.VideoFrame) and frame.time is not None:
                            times.append(Fraction(frame.pts or 0) * (frame.time_base or 0))
                        elif isinstance(frame, av.AudioFrame):
                            sound += frame.samples / frame.sample_rate
        except av.FFmpegError as error:
            raise PromiseBroken(f"What came out is not a film: {error}.") from error
        require(len(times) > 1, "what came out has no picture")
        return cls(tuple(times), sound)

    @property
    def frames(self) -> int:
        return len(self.times)

    @property
    def rate(self) -> float:
        """Frames a second, on average."""
        return (self.frames - 1) / float(self.times[-1] - self.times[0])

    @property
    def seconds(self) -> float:
        """From the first frame to the end of the last."""
        return self.frames / self.rate

    def __str__(self) -> str:
        return (
            f"{self.frames} frames, {self.seconds:.2f} s of picture, "
            f"{self.sound_seconds:.2f} s of sound"
        )


def require(held: bool, otherwise: str) -> None:
    """Raise PromiseBroken unless it held."""
    if not held:
        raise PromiseBroken(f"Not as promised: {otherwise}.")
