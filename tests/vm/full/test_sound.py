"""The microphone, through ALSA as the kernel and its library have it: a sound card of every kind
gives what a film wants, by `plughw:`."""

import pytest

from tests.vm.machine import Machine

TAKES = "plughw:CARD=Loopback,DEV=1"
BARE = "hw:CARD=Loopback,DEV=1"


@pytest.fixture(scope="module", autouse=True)
def card(kit: Machine) -> None:
    kit.run("modprobe", "snd_aloop")
    kit.ask("until", words=["cat", "/proc/asound/cards"], what="Loopback")


@pytest.mark.parametrize("rate", [44100, 48000])
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("width", [2, 3])
def test_a_card_of_any_kind_is_heard(kit: Machine, rate: int, channels: int, width: int) -> None:
    heard = kit.ask("hears", name=TAKES, rate=rate, channels=channels, width=width)
    assert heard["rates"] == [48000] and heard["layouts"] == ["mono"]
    assert heard["loudest"] > 1000


def test_a_card_of_24_bits_needs_it(kit: Machine) -> None:
    """Why the settings say plughw, and not hw."""
    heard = kit.ask("hears", name=BARE, rate=48000, channels=1, width=3)
    assert heard["refused"]
