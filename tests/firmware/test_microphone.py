"""Sound is where the picture is: after 45 minutes, with a wrong sound clock, with losses."""

import random
import struct
import threading
from array import array
from collections.abc import Iterator, Mapping
from itertools import pairwise

import av
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.errors import SoundFailed
from appliance.records.clock import SystemClock
from firmware.camera import SAMPLE_RATE
from firmware.microphone import LOOK_AHEAD, Microphone, SoundClock
from tests.support.films import a_second_apart

CLAP = 96
"""Samples of a clap."""
STARTS = 5_000.0
"""Monotonic second at which the sound card begins."""
NEAR = 0.04
"""Seconds that sound may be off its picture."""


class SoundCard:
    """A sound card whose second is `skew` off; it hears a clap at each of `claps`."""

    def __init__(
        self,
        skew: float = 0.0,
        claps: Iterator[float] | list[float] = (),
        *,
        piece: float = 0.02,
        rate: int = SAMPLE_RATE,
        channels: int = 1,
    ) -> None:
        """`piece`: seconds of sound that it gives at a time."""
        self._rate = rate * (1 + skew)
        self._claps = list(claps)
        self._piece = piece
        self._size = 2 * channels
        self._clap = struct.pack("<h", 20_000) * channels * CLAP
        self._random = random.Random(7)

    def pieces(
        self, seconds: float, lost: Mapping[float, float] = {}, stalls: Mapping[float, float] = {}
    ) -> Iterator[tuple[bytes, float]]:
        """Pieces of sound, and when each had arrived.

        What would be heard in a time that is `lost` is gone. In a stall the reader sleeps, and
        then finds all that was heard meanwhile. Both as second: length.
        """
        heard = awake = 0.0
        lost, stalls = dict(lost), dict(stalls)
        while heard < seconds:
            for at in [at for at in lost if at <= heard]:
                heard += lost.pop(at)
            for at in [at for at in stalls if at <= heard]:
                awake = heard + stalls.pop(at)
            begin, heard = heard, heard + self._piece
            first, after = round(begin * self._rate), round(heard * self._rate)
            samples = bytearray(self._size * (after - first))
            for clap in self._claps:
                place = self._size * (round(clap * self._rate) - first)
                if -len(self._clap) < place < len(samples):
                    end = min(place + len(self._clap), len(samples))
                    samples[max(place, 0) : end] = self._clap[max(-place, 0) : end - place]
            late = self._random.expovariate(1 / 0.002)
            yield bytes(samples), STARTS + max(heard + late, awake)


def filmed(clock: SoundClock, pieces: Iterator[tuple[bytes, float]]) -> list[av.AudioFrame]:
    frames = [frame for samples, at in pieces for frame in clock.take(samples, at)]
    return frames + clock.rest()


def started(zero: float = STARTS, rate: int = SAMPLE_RATE, channels: int = 1) -> SoundClock:
    """A sound clock for a film whose first picture was seen at `zero`."""
    clock = SoundClock(rate, channels)
    clock.begin(zero)
    return clock


def samples_of(frame: av.AudioFrame) -> "array[int]":
    return array("h", bytes(frame.planes[0])[: 2 * frame.samples])


def claps_in(frames: list[av.AudioFrame]) -> list[float]:
    """Seconds of the film at which claps begin."""
    found: list[float] = []
    for frame in frames:
        assert frame.pts is not None
        samples = samples_of(frame)
        if max(samples) < 10_000:
            continue
        for place, value in enumerate(samples):
            at = (frame.pts + place) / SAMPLE_RATE
            if value > 10_000 and (not found or at > found[-1] + 0.1):
                found.append(at)
    return found


def seconds_of(frames: list[av.AudioFrame]) -> float:
    """How long the sound is, which must begin at zero and have no gaps."""
    assert frames[0].pts == 0
    assert all(a.pts is not None and a.pts + a.samples == b.pts for a, b in pairwise(frames))
    forms = {(frame.sample_rate, frame.layout.name, frame.format.name) for frame in frames}
    assert forms == {(SAMPLE_RATE, "mono", "s16")}
    return sum(frame.samples for frame in frames) / SAMPLE_RATE


def worst(frames: list[av.AudioFrame], claps: list[float]) -> float:
    """Seconds by which the worst clap is off its picture."""
    return max(abs(a - b) for a, b in zip(claps_in(frames), claps, strict=True))


# --- The clock ----------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("skew", [200e-6, -200e-6])
def test_a_clap_stays_with_its_picture_for_45_minutes(skew: float) -> None:
    claps = [0.5, 60.0, 1320.0, 1350.0, 2699.5]
    lost = {600.0: 0.5, 1200.0: 0.05, 1319.2: 0.3, 2000.0: 3.0, 2690.0: 0.03}
    stalls = {300.0: 0.4, 1322.0: 0.3, 2400.0: 1.5}
    pieces = SoundCard(skew, claps, piece=0.05).pieces(2700, lost, stalls)
    frames = filmed(started(), pieces)
    assert seconds_of(frames) == pytest.approx(2700, abs=NEAR)
    assert worst(frames, claps) <= NEAR / 10


def test_lost_sound_is_silence_and_what_follows_is_in_time() -> None:
    claps = [1.0, 4.2, 4.5, 8.0]
    frames = filmed(started(), SoundCard(0, claps).pieces(10, lost={2.0: 2.0, 6.0: 0.05}))
    assert seconds_of(frames) == pytest.approx(10, abs=NEAR)
    assert worst(frames, claps) <= NEAR / 4


def test_a_reader_that_was_late_moves_nothing() -> None:
    claps = [n + 0.5 for n in range(10)]
    frames = filmed(started(), SoundCard(0, claps).pieces(10, stalls={2.0: 0.7, 5.4: 0.3}))
    assert seconds_of(frames) == pytest.approx(10, abs=NEAR)
    assert worst(frames, claps) <= NEAR / 10


def test_the_voice_is_never_bent_by_more_than_an_ear_can_tell() -> None:
    pieces = list(SoundCard(200e-6, piece=0.05).pieces(60, lost={20.0: 0.015}))
    # What lies on the way gets shorter as well: from here on all sound comes sooner.
    pieces[800:] = [(samples, at - 0.015) for samples, at in pieces[800:]]
    frames = filmed(started(), iter(pieces))
    assert len(frames) == len(pieces)
    # Second by second, what came out against what went in.
    for second in range(0, len(frames) - 20, 20):
        made = sum(frame.samples for frame in frames[second : second + 20])
        heard = sum(len(samples) // 2 for samples, _ in pieces[second : second + 20])
        assert made / heard == pytest.approx(1, abs=0.003)


def test_nothing_is_heard_from_before_the_first_picture() -> None:
    # A clap before it, one just before it, one after it.
    pieces = SoundCard(0, [0.3, 0.94, 1.5]).pieces(3)
    frames = filmed(started(zero=STARTS + 0.95), pieces)
    assert claps_in(frames) == [pytest.approx(0.55, abs=0.005)]
    assert not any(samples_of(frames[0])[:48])
    assert seconds_of(frames) == pytest.approx(2.05, abs=NEAR)


def test_sound_waits_for_the_first_picture_but_not_for_ever() -> None:
    clock = SoundClock()
    pieces = list(SoundCard(0, [1.0, 55.0]).pieces(60))
    assert not any(clock.take(samples, at) for samples, at in pieces)
    clock.begin(STARTS + 54)
    assert claps_in(clock.rest()) == [pytest.approx(1.0, abs=0.005)]
    # Sound that nobody could wait for any more is silence, not sound at the wrong place.
    clock = SoundClock()
    for samples, at in pieces:
        clock.take(samples, at)
    clock.begin(STARTS)
    frames = clock.rest()
    assert claps_in(frames) == [pytest.approx(55.0, abs=0.005)]
    assert seconds_of(frames) == pytest.approx(60, abs=NEAR)


def test_a_microphone_that_begins_late_is_silent_until_then() -> None:
    frames = filmed(started(zero=STARTS - 2), SoundCard(0, [1.0]).pieces(3))
    assert claps_in(frames) == [pytest.approx(3.0, abs=0.005)]
    assert seconds_of(frames) == pytest.approx(5, abs=NEAR)


def test_nothing_lags_behind_by_more_than_it_looks_ahead() -> None:
    clock = started()
    made = 0
    for samples, at in SoundCard().pieces(5):
        made += sum(frame.samples for frame in clock.take(samples, at))
        assert at - STARTS - made / SAMPLE_RATE < LOOK_AHEAD + 0.05


@pytest.mark.parametrize(("rate", "channels"), [(44_100, 2), (16_000, 1), (48_000, 2)])
def test_what_the_device_gives_becomes_what_a_film_wants(rate: int, channels: int) -> None:
    card = SoundCard(0, [1.0, 2.5], rate=rate, channels=channels)
    frames = filmed(started(rate=rate, channels=channels), card.pieces(4))
    assert seconds_of(frames) == pytest.approx(4, abs=NEAR)
    assert worst(frames, [1.0, 2.5]) <= NEAR / 10


@pytest.mark.slow
@given(
    skew=st.floats(-250e-6, 250e-6),
    lost=st.dictionaries(st.floats(0.5, 25), st.floats(0.001, 3), max_size=4),
    stalls=st.dictionaries(st.floats(0.5, 25), st.floats(0.01, 2), max_size=4),
    piece=st.sampled_from([0.02, 0.033, 0.05]),
)
def test_whatever_is_lost_or_late_a_clap_is_near_its_picture(
    skew: float, lost: dict[float, float], stalls: dict[float, float], piece: float
) -> None:
    seconds = 30 + sum(lost.values())
    claps = [seconds - 0.5]
    frames = filmed(started(), SoundCard(skew, claps, piece=piece).pieces(seconds, lost, stalls))
    assert seconds_of(frames) == pytest.approx(seconds, abs=NEAR + piece)
    assert worst(frames, claps) <= NEAR


# --- ALSA ---------------------------------------------------------------------------------------


class Ear:
    """Keeps what a microphone hears; `enough` is set after so many seconds."""

    def __init__(self, seconds: float) -> None:
        self.frames: list[av.AudioFrame] = []
        self.enough = threading.Event()
        self._left = seconds * SAMPLE_RATE

    def hear(self, frame: av.AudioFrame) -> None:
        self.frames.append(frame)
        self._left -= frame.samples
        if self._left <= 0:
            self.enough.set()


@pytest.mark.slow
@pytest.mark.usefixtures("alsa")
def test_a_microphone_is_heard_through_alsa_and_again_in_the_next_film() -> None:
    clock = SystemClock()
    microphone = Microphone("clapping", clock)
    for _ in range(2):
        ear = Ear(2.5)
        microphone.start(ear.hear)
        began = clock.monotonic()
        microphone.begin(began)
        assert ear.enough.wait(20)
        # This card has no pace of its own, and is read at that of the film all the same.
        assert clock.monotonic() - began >= 2.4
        microphone.stop()
        heard = len(ear.frames)
        assert 2.5 <= seconds_of(ear.frames) <= clock.monotonic() - began + 0.5
        claps = claps_in(ear.frames)
        assert len(claps) >= 2
        assert a_second_apart(claps, by=0.05), claps
        microphone.stop()
        assert len(ear.frames) == heard


@pytest.mark.usefixtures("alsa")
def test_a_microphone_that_is_not_there_is_said_at_once() -> None:
    microphone = Microphone("plughw:CARD=Nowhere", SystemClock())
    with pytest.raises(SoundFailed, match="does not answer"):
        microphone.start(Ear(1).hear)
    microphone.stop()
