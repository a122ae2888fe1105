"""The microphone, through ALSA, and the clock that keeps its sound with the picture.

A sound card counts seconds of its own, a few hundred millionths longer or shorter than the
picture's, and loses samples when the machine is late. In a film of 45 minutes either would part a
baby's voice from its face. So each piece of sound is put where the picture's clock says it belongs.
"""

import logging
import os
import threading
from collections import deque
from dataclasses import dataclass
from fractions import Fraction

import av

from appliance.errors import SoundFailed
from appliance.records.clock import Clock
from firmware.camera import SAMPLE_RATE, Hear

_errors = logging.getLogger(__name__)

LOOK_AHEAD = 0.1
"""Seconds that sound waits for what comes after it, to know lost samples from a late reader."""
_GAP = 0.02
"""Seconds: if sound stays behind by more, samples were lost; silence takes their place."""
_DRIFT = 0.001
"""Seconds a second by which a sound card's clock may differ; real ones stay well within."""
_PATIENCE = 10.0
"""Seconds of sound that are kept for the first picture. What is older is from before it."""
_MICROSECONDS = 1_000_000


@dataclass(frozen=True)
class _Block:
    samples: bytes
    first: int
    """Place of the first sample among all that were taken."""
    captured_at: float
    offset: float
    """When the card's sample 0 was heard, by this block: its true time, or later by any delay."""


class SoundClock:
    """Sound as a device gives it in, sound of the film out. Pure; one thread but for `begin`.

    A block may arrive late but never early, so what counts is the earliest arrival around it. Lost
    samples make every later block late: then silence is put in. Everything slower than that is
    drift, and is stretched or squeezed away, by less than an ear can tell.
    """

    def __init__(self, rate: int = SAMPLE_RATE, channels: int = 1) -> None:
        """What comes in: signed 16 bit, `channels` (1 or 2) interleaved, `rate` Hz."""
        self._rate, self._size = rate, 2 * channels
        self._layout = "mono" if channels == 1 else "stereo"
        self._waiting: deque[_Block] = deque()
        self._taken = 0
        self._zero: float | None = None
        self._offset: float | None = None
        self._graph = self._fitting()

    def begin(self, zero: float) -> None:
        """The film's first picture was seen at this monotonic second. Any thread."""
        self._zero = zero

    def take(self, samples: bytes, captured_at: float) -> list[av.AudioFrame]:
        """Take whole samples, the last of which had arrived at monotonic second `captured_at`.

        Returns what is ready, as `firmware.camera.Sink.sound` wants it: from the first picture on,
        without gaps. It runs `LOOK_AHEAD` behind what comes in.
        """
        first, self._taken = self._taken, self._taken + len(samples) // self._size
        offset = captured_at - self._taken / self._rate
        self._waiting.append(_Block(samples, first, captured_at, offset))
        return self._placed(captured_at - LOOK_AHEAD)

    def rest(self) -> list[av.AudioFrame]:
        """What is still waiting: no more will come."""
        return self._placed(float("inf"))

    def _placed(self, until: float) -> list[av.AudioFrame]:
        if self._zero is None:
            while self._waiting and self._waiting[0].captured_at < until - _PATIENCE:
                self._waiting.popleft()
            return []
        frames: list[av.AudioFrame] = []
        while self._waiting and self._waiting[0].captured_at <= until:
            frames += self._place(self._zero)
        return frames

    def _place(self, zero: float) -> list[av.AudioFrame]:
        """Put the oldest block where it belongs."""
        earliest = min(block.offset for block in self._waiting)
        block = self._waiting.popleft()
        seconds = len(block.samples) / self._size / self._rate
        if self._offset is None or earliest > self._offset + _GAP:
            self._offset = earliest
        else:
            self._offset = min(earliest, self._offset + _DRIFT * seconds)
        start = self._offset + block.first / self._rate - zero
        early = max(round(-start * self._rate), 0)
        samples = block.samples[early * self._size :]
        if not samples:
            return []
        frame = av.AudioFrame("s16", self._layout, len(samples) // self._size)
        frame.planes[0].update(samples)
        frame.sample_rate, frame.time_base = self._rate, Fraction(1, _MICROSECONDS)
        frame.pts = max(round(start * _MICROSECONDS), 0)
        return self._fitted(frame)

    def _fitted(self, frame: av.AudioFrame) -> list[av.AudioFrame]:
        self._graph.push(frame)
        frames: list[av.AudioFrame] = []
        while True:
            try:
                fitted = self._graph.pull()
            except av.BlockingIOError:
                return frames
            assert isinstance(fitted, av.AudioFrame)
            frames.append(fitted)

    def _fitting(self) -> av.filter.Graph:
        """libav's resampler, which follows the times of what it is given.

        Up to `_GAP` it stretches or squeezes, by at most 0.2 %; beyond, it puts silence in or
        leaves sound out. What comes out has times without gaps, from zero on.
        """
        graph = av.filter.Graph()
        source = graph.add_abuffer(
            sample_rate=self._rate,
            format="s16",
            layout=self._layout,
            time_base=Fraction(1, _MICROSECONDS),
        )
        follow = f"first_pts=0:min_comp=0.001:min_hard_comp={_GAP}:comp_duration=1"
        fit = graph.add("aresample", f"{SAMPLE_RATE}:{follow}:max_soft_comp={2 * _DRIFT}")
        mono = graph.add("aformat", "sample_fmts=s16:channel_layouts=mono")
        sink = graph.add("abuffersink")
        graph.link_nodes(source, fit, mono, sink).configure()
        return graph


_PIECE = 0.02
"""Seconds of sound that are taken from the card at a time, however small its own pieces are."""
_HEADSTART, _PACE = 0.25, 1.01
"""How far ahead of time, and how much too fast, a card may give its sound before it has to wait."""
_OPENS_WITHIN = 2.0
_STOPS_WITHIN = 2.0
_TRY_AGAIN = 0.25
_ALSA_SETTINGS = "/usr/share/alsa/alsa.conf"


class Microphone:
    """An ALSA device, open only between `start` and `stop`, each film anew.

    A device that fails or goes away is opened again until `stop`; what it missed is silence. That
    a film must not go on for long without sound is for whoever counts what arrives.
    """

    def __init__(self, name: str, clock: Clock) -> None:
        """`name` as ALSA knows it, such as `plughw:CARD=Device`."""
        self._name = name
        self._clock = clock
        self._stopping = threading.Event()
        self._tried = threading.Event()
        self._answers = False
        self._sound: SoundClock | None = None
        self._zero: float | None = None
        self._thread: threading.Thread | None = None

    def start(self, hear: Hear) -> None:
        """Listen, as `listen` does. Raises SoundFailed if the device does not open."""
        self.listen(hear)
        if not (self._tried.wait(_OPENS_WITHIN) and self._answers):
            self.stop()
            raise SoundFailed("The microphone does not answer.", "Check its plug.")

    def listen(self, hear: Hear) -> None:
        """Return at once; `hear` gets sound as `Sink.sound` wants it, as soon as the device opens
        and `begin` has said from when on.

        It is called from the microphone's own thread and must not raise.
        """
        # The libraries that come with PyAV look for ALSA's settings where there are none.
        os.environ.setdefault("ALSA_CONFIG_PATH", _ALSA_SETTINGS)
        self._stopping.clear()
        self._tried.clear()
        self._answers = False
        self._sound = self._zero = None
        # A daemon, so that a device that never answers does not keep the process from ending.
        self._thread = threading.Thread(
            target=self._listen, args=(hear,), name="microphone", daemon=True
        )
        self._thread.start()

    def begin(self, zero: float) -> None:
        """The film's first picture was seen at this monotonic second. Any thread."""
        self._zero = zero

    def end(self) -> None:
        """Hear no more from now on; `stop` waits until it is so."""
        self._stopping.set()

    def stop(self) -> None:
        """Return when it is closed and `hear` has its last sound. Safe to call twice. Raises
        SoundFailed if it cannot be sure."""
        if self._thread is None:
            return
        self.end()
        self._thread.join(_STOPS_WITHIN)
        if self._thread.is_alive():
            raise SoundFailed("The microphone does not stop.")
        self._thread = None

    def _listen(self, hear: Hear) -> None:
        failed = False
        while not self._stopping.is_set():
            try:
                with self._device() as device:
                    self._answers, failed = True, False
                    self._tried.set()
                    self._hear(device, hear)
            except (av.FFmpegError, OSError):
                if not failed:
                    _errors.exception("the microphone failed")
                failed = True
                self._tried.set()
            self._stopping.wait(_TRY_AGAIN)
        if self._sound is not None:
            for frame in self._sound.rest():
                hear(frame)

    def _device(self) -> av.container.InputContainer:
        for channels in ("1", "2"):
            try:
                wanted = {"sample_rate": str(SAMPLE_RATE), "channels": channels}
                return av.open(self._name, format="alsa", options=wanted)
            except av.FFmpegError as error:
                refused = error
        raise refused

    def _hear(self, device: av.container.InputContainer, hear: Hear) -> None:
        stream = device.streams.audio[0]
        rate, size = stream.rate, 2 * stream.channels
        sound = self._sound = self._sound or SoundClock(rate, stream.channels)
        piece = bytearray()
        due = self._clock.monotonic()
        for packet in device.demux(stream):
            piece += bytes(packet)
            if len(piece) < _PIECE * rate * size:
                continue
            now = self._clock.monotonic()
            if self._zero is not None:
                sound.begin(self._zero)
            for frame in sound.take(bytes(piece), now):
                hear(frame)
            # A device without a clock, such as ALSA's null, gives its sound as fast as it is read.
            due = max(due, now - _HEADSTART) + len(piece) / size / rate / _PACE
            piece.clear()
            if self._stopping.wait(max(due - now - _HEADSTART, 0)):
                return
