"""Films that a real browser records: Chromium's MediaRecorder, of a canvas whose pictures carry
their number and of a sound that beeps; and what must become of each.

How late a browser's encoder is, and which pictures it drops under load, nobody knows before: what
must come of a recording is read off the recording itself, by decoding it plainly.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import av

from appliance.bench.odd.drawn import Place, fitted, number_in
from appliance.bench.odd.expected import Expected, heard_in
from appliance.bench.odd.muxed import remuxed

KINDS = {
    "vp8.webm": "video/webm;codecs=vp8,opus",
    "vp9.webm": "video/webm;codecs=vp9,opus",
    "h264.webm": "video/webm;codecs=avc1,opus",
    "h264.mkv": "video/x-matroska;codecs=avc1,opus",
    "h264-aac.mp4": "video/mp4;codecs=avc1.42E01E,mp4a.40.2",
    "h264.mp4": "video/mp4;codecs=avc1.42E01E,opus",
    "h264-avc3.mp4": "video/mp4;codecs=avc3.42E01E,opus",
    "vp9.mp4": "video/mp4;codecs=vp9,opus",
}
"""By the end of the file's name: what the browser is asked for, where it offers it."""
SCENES = ("plain", "off", "frozen", "back", "grows", "turned")
"""What happens: nothing; the camera goes off, its picture freezes, comes back, grows, is turned."""
_ONE_SIZE = ("h264-aac.mp4", "h264.mp4")
"""Of these the browser writes one size in front, and what comes in another is not to be decoded."""
SECONDS = 6.0
FEWEST = 16
_CLOSEST = 1 / 65
"""Seconds: of pictures that are closer, the later are left out."""
_LEAD = 0.04
"""Seconds of sound before the first picture that are an encoder's own beginning."""
_STEP = 1 / 30

_RECORD = """async ([mime, scene, seconds]) => {
  const at = (milliseconds) => {
    if (scene === "grows")
      return milliseconds < 2000 ? [320, 180] : milliseconds < 4000 ? [640, 360] : [1280, 720];
    if (scene === "turned") return milliseconds < 2500 ? [640, 360] : [360, 640];
    return [320, 180];
  };
  const canvas = document.createElement("canvas");
  const pen = canvas.getContext("2d");
  document.body.append(canvas);
  let number = 0;
  const draw = (milliseconds) => {
    const [width, height] = at(milliseconds);
    if (canvas.width !== width) [canvas.width, canvas.height] = [width, height];
    for (let bit = 0; bit < 16; bit++) {
      pen.fillStyle = (number >> (15 - bit)) & 1 ? "white" : "black";
      pen.fillRect(bit * width / 16, 0, width / 16 + 1, height / 2);
    }
    const grey = 60 + 7 * number % 120;
    pen.fillStyle = `rgb(${grey}, ${grey}, ${grey})`;
    pen.fillRect(0, height / 2, width, height / 2);
    number += 1;
  };
  draw(0);
  const sound = new AudioContext({ sampleRate: 48000 });
  await sound.resume();
  const [tone, loud] = [sound.createOscillator(), sound.createGain()];
  const heard = sound.createMediaStreamDestination();
  tone.frequency.value = 1000;
  loud.gain.value = 0;
  tone.connect(loud).connect(heard);
  tone.start();
  const picture = canvas.captureStream(30).getVideoTracks()[0];
  const stream = new MediaStream([picture, ...heard.stream.getAudioTracks()]);
  const recorder = new MediaRecorder(stream, { mimeType: mime, videoBitsPerSecond: 1500000 });
  const pieces = [];
  recorder.ondataavailable = (event) => pieces.push(event.data);
  const ended = new Promise((done) => { recorder.onstop = done; });
  recorder.start(1000);
  const zero = sound.currentTime;
  for (let beep = 0.5; beep < seconds; beep++) {
    loud.gain.setValueAtTime(0.5, zero + beep);
    loud.gain.setValueAtTime(0, zero + beep + 0.1);
  }
  const began = performance.now();
  const drawing = setInterval(() => {
    const milliseconds = performance.now() - began;
    const stands = milliseconds > 2500 && (scene === "frozen" || scene === "back");
    if (!stands || (scene === "back" && milliseconds > 4500)) draw(milliseconds);
    if (scene === "off" && milliseconds > 2500) picture.stop();
    if (milliseconds > 1000 * seconds) { clearInterval(drawing); recorder.stop(); }
  }, 1000 / 30);
  await ended;
  await sound.close();
  canvas.remove();
  const whole = new Uint8Array(await new Blob(pieces).arrayBuffer());
  let text = "";
  for (let begin = 0; begin < whole.length; begin += 32768)
    text += String.fromCharCode(...whole.subarray(begin, begin + 32768));
  return btoa(text);
}"""
_ALL = "([what, each]) => Promise.all(each.map((one) => eval(what)(one)))"


@dataclass(frozen=True)
class Recording:
    """A file as the browser wrote it, or with its length written afterwards."""

    name: str
    film: bytes


def recordings(browser: Any) -> Iterator[Recording]:
    """Every scene in every kind that this browser offers; of some, also with the length written
    afterwards, as libraries do. Takes ten seconds a kind."""
    page = browser.new_page()
    page.set_default_timeout(120_000)
    for ending, mime in KINDS.items():
        if not page.evaluate("(mime) => MediaRecorder.isTypeSupported(mime)", mime):
            continue
        scenes = SCENES[:4] if ending in _ONE_SIZE else SCENES
        asked = [[mime, scene, SECONDS] for scene in scenes]
        for scene, text in zip(scenes, page.evaluate(_ALL, [_RECORD, asked]), strict=True):
            film = base64.b64decode(text)
            yield Recording(f"{scene}-{ending}", film)
            if scene in ("off", "frozen", "turned") and ending.endswith("webm"):
                name = f"{scene}-length-{ending}"
                yield Recording(name, remuxed(film, name, "-map", "0", "-f", "matroska"))
    page.close()


@dataclass(frozen=True)
class _Seen:
    number: int
    at: float
    size: tuple[int, int]


def expected(film: bytes) -> Expected:
    """What must become of a recording."""
    shown, end = _decoded(film)
    heard = heard_in(film)
    begin = _begin(film, shown[0].at)
    kept: list[_Seen] = []
    for one in shown:
        if not kept or one.at - kept[-1].at >= _CLOSEST:
            kept.append(one)
    size = _size(shown, end)
    seen: list[tuple[int, float]] = []
    for one in kept:
        if not seen or one.number != seen[-1][0]:
            seen.append((one.number, one.at - begin if seen else 0.0))

    def place(at: float) -> Place:
        # Before the first of them that one stands.
        now = [one for one in kept if one.at - begin <= at + _CLOSEST / 2] or kept[:1]
        return fitted(now[-1].size, size)

    return Expected(
        seen,
        None if heard is None else [at - begin for at in heard],
        end - begin,
        size,
        place=place,
    )


def _decoded(film: bytes) -> tuple[list[_Seen], float]:
    """Its pictures, and when the last of picture and sound ends."""
    shown: list[_Seen] = []
    with av.open(io.BytesIO(film), "r") as opened:
        for frame in opened.decode(video=0):
            size = frame.width, frame.height
            shown.append(_Seen(number_in(frame), float(frame.time or 0.0), size))
    with av.open(io.BytesIO(film), "r") as opened:
        sounds = [
            float(((packet.pts or 0) + (packet.duration or 0)) * packet.time_base)
            for packet in opened.demux(audio=0)
            if packet.size
        ]
    return shown, max([shown[-1].at + _STEP, *sounds])


def _begin(film: bytes, first: float) -> float:
    """When the first of picture and sound begins."""
    with av.open(io.BytesIO(film), "r") as opened:
        sounds = [
            float((packet.pts or 0) * packet.time_base)
            for packet in opened.demux(audio=0)
            if packet.size
        ]
    begin = min([first, *sounds])
    return first if first - begin <= _LEAD else begin


def _size(shown: Sequence[_Seen], end: float) -> tuple[int, int]:
    """Of the largest picture; of two as large, of the one that is seen for longer."""
    lasting: dict[tuple[int, int], float] = {}
    gone = [*(one.at for one in shown[1:]), end]
    for one, until in zip(shown, gone, strict=True):
        lasting[one.size] = lasting.get(one.size, 0.0) + until - one.at
    return max(lasting, key=lambda size: (size[0] * size[1], lasting[size]))
