"""A film on the page: its address, the frames that play, and moments kept through the form."""

import io
import time
from collections.abc import Callable, Mapping

import av

from appliance.casework.clips import Clip
from tests.support import films
from tests.support.pages import Page, WebKit

FRAMES = 75


def with_film(kit: WebKit, encoder: Mapping[str, str] = films.LIKE_OURS) -> WebKit:
    kit.unlock()
    case = kit.make_case()
    kit.recorder.write_film(case, kit.recipient(case), FRAMES, encoder=encoder)
    return kit


def place(kit: WebKit) -> str:
    """The address of the one film."""
    case = kit.parts.cases.records()[0].id
    (film,) = [path.name for path in kit.home.recordings.iterdir()]
    return f"/cases/{case}/films/{film}"


def whole(kit: WebKit) -> bytes:
    return kit.browser.get(f"{place(kit)}/video").response.data


def numbers(film: bytes) -> list[int]:
    with av.open(io.BytesIO(film)) as opened:
        return [films.number_in(frame) for frame in opened.decode(video=0)]


def keep(kit: WebKit, start: str, end: str, note: str = "") -> Page:
    url = place(kit)
    return kit.browser.submit(url, action=f"{url}/clips", start=start, end=end, note=note)


def wait_for(made: Callable[[], bool]) -> None:
    """Wait for work that a thread of its own does: the one thing here that takes real time."""
    until = time.monotonic() + 30
    while not made():
        assert time.monotonic() < until, "it was never made"
        time.sleep(0.01)


def clip_of(kit: WebKit) -> Clip:
    case = kit.open_case(kit.parts.cases.records()[0].id)
    wait_for(lambda: bool(case.read_all(Clip)))
    (clip,) = case.read_all(Clip)
    return clip
