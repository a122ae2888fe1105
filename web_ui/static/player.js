// Finding a moment in a film. The marks are plain fields of a plain form, as minutes and seconds;
// everything here only helps to set them.

const player = document.getElementById("player");
const video = player.querySelector("video");
const fields = { start: document.getElementById("start"), end: document.getElementById("end") };
const picture = document.getElementById("at");
const place = document.getElementById("player-place");
const said = document.getElementById("player-said");
const timeline = document.getElementById("timeline");
const canvas = document.getElementById("glance");
const head = document.getElementById("head");
const handles = { start: document.getElementById("handle-in"), end: document.getElementById("handle-out") };
const span = document.getElementById("moment-span");
const keys = document.getElementById("keys");
const letters = document.getElementById("letters");
const speed = document.getElementById("speed");
const words = player.dataset;

const STEPS = new Set(["back", "on", "second-back", "second-on", "to-start", "to-end", "start-back", "start-on", "end-back", "end-on", "in", "out", "that"]);
const FASTER = [1, 1.5, 2];
const CLOSEST = 4; // seconds of film across the timeline
const STRIP = 56; // points, of the pictures; the loudness stands below them
const LOUD = 44;

let times = [0, 0]; // when each frame appears, and when the last one goes
let glance = null;
let view = [0, 0];
let loop = false;
let until = null; // where "play the moment" stops
let wanted = null; // a place that is gone to when the player has come to the one before
let backwards = null;

for (const part of document.querySelectorAll("[data-scripted], .app-mark button[hidden]")) part.hidden = false;
video.removeAttribute("controls");
if (!video.requestFullscreen && !video.webkitEnterFullscreen) player.querySelector("[data-do=full]").hidden = true;
letters.checked = remembered() !== "off";
await loadFrames();
loadGlance();
for (const button of document.querySelectorAll("[data-do]")) {
  button.addEventListener("click", () => act(button.dataset.do));
}
document.addEventListener("keydown", pressed);
video.addEventListener("click", () => act("play"));
for (const name of ["timeupdate", "seeked", "play", "pause"]) video.addEventListener(name, show);
video.addEventListener("seeked", goOn);
video.addEventListener("play", follow);
for (const field of Object.values(fields)) field.addEventListener("input", show);
speed.addEventListener("change", () => (video.playbackRate = Number(speed.value)));
letters.addEventListener("change", () => remember(letters.checked ? "on" : "off"));
document.getElementById("mark").addEventListener("sent", (event) => {
  if (event.detail.ok) {
    // Also what the kit had written into them: left there, the next press would keep it once more.
    for (const field of event.target.querySelectorAll("input, textarea")) {
      if (field.type !== "hidden") field.defaultValue = "";
    }
    for (const option of event.target.querySelectorAll("option")) option.defaultSelected = false;
    event.target.reset();
  }
  show();
});
new ResizeObserver(draw).observe(canvas);
new MutationObserver(draw).observe(document.getElementById("kept"), { childList: true, subtree: true, attributes: true, attributeFilter: ["data-start", "data-end", "data-number"] });
connectTimeline();
show();

// --- Frames ---------------------------------------------------------------------------------------

async function loadFrames() {
  const table = await (await fetch(words.frames, { cache: "no-store" })).json();
  const found = [];
  let ticks = table.first;
  for (const [count, step] of table.steps) {
    for (let n = 0; n < count; n++, ticks += step) found.push(ticks / table.scale);
  }
  found.push(ticks / table.scale);
  times = found;
  view = [0, length()];
}

function length() {
  return times[times.length - 1];
}

// The first frame that appears at `seconds` or later; as many as there are, if none does.
function firstFrom(seconds) {
  let low = 0;
  let high = times.length - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (times[middle] >= seconds - 1e-7) high = middle;
    else low = middle + 1;
  }
  return low;
}

// The frame that is seen at `seconds`.
function frameAt(seconds) {
  const next = firstFrom(seconds);
  const frame = times[next] <= seconds + 1e-7 ? next : next - 1;
  return clamp(frame, 0, times.length - 2);
}

function clamp(value, low, high) {
  return Math.min(Math.max(value, low), high);
}

// --- Going about ----------------------------------------------------------------------------------

// Go to a frame. Into its middle: on its edge a player may round to the one before. One place at a
// time, or a slow computer would never come to any.
function goTo(frame) {
  const at = clamp(frame, 0, times.length - 2);
  const seconds = (times[at] + times[at + 1]) / 2;
  if (video.seeking) {
    wanted = seconds;
  } else {
    video.currentTime = seconds;
  }
  show();
}

function goOn() {
  if (wanted === null) return;
  [video.currentTime, wanted] = [wanted, null];
}

function here() {
  return frameAt(wanted ?? video.currentTime);
}

function halt() {
  backwards = null;
  until = null;
  if (video.paused) return;
  video.pause();
  // What is seen is what is marked.
  goTo(frameAt(video.currentTime));
}

function play(rate = Number(speed.value)) {
  backwards = null;
  video.playbackRate = rate;
  if (video.currentTime >= length() - 0.05) video.currentTime = 0;
  video.play().catch(() => {});
}

function playBackwards() {
  halt();
  const began = { clock: performance.now(), at: times[here()] };
  const run = {};
  backwards = run;
  const next = () => {
    if (backwards !== run) return;
    const at = began.at - (performance.now() - began.clock) / 1000;
    if (!video.seeking) goTo(frameAt(Math.max(at, 0)));
    if (at <= 0) backwards = null;
    else requestAnimationFrame(next);
  };
  next();
}

// While it plays: turn round at the end of a loop, or stop at the end of the moment.
function follow() {
  const look = () => {
    if (video.paused) return;
    const [start, end] = loopOf();
    const stop = until ?? (loop ? end : null);
    if (stop !== null && video.currentTime >= stop - 0.02) {
      if (loop) video.currentTime = start + 1e-3;
      else {
        const last = firstFrom(stop) - 1;
        video.pause();
        until = null;
        goTo(last);
      }
    }
    show();
    requestAnimationFrame(look);
  };
  requestAnimationFrame(look);
}

function loopOf() {
  const [start, end] = [mark("start"), mark("end")];
  return start !== null && end !== null && end > start ? [start, end] : [0, length()];
}

// --- Marks ----------------------------------------------------------------------------------------

// The seconds that stand in a field, null if they cannot be read.
function mark(name) {
  const found = /^(?:(\d{1,4}):)?(\d{1,6}(?:\.\d+)?)$/.exec(fields[name].value.trim().replace(",", "."));
  return found ? 60 * Number(found[1] ?? 0) + Number(found[2]) : null;
}

// `seconds` for a field: never later than they are, so that the frame there is not left out.
function exact(seconds) {
  const thousandths = Math.floor(seconds * 1000 + 1e-6);
  const [minutes, rest] = [Math.floor(thousandths / 60000), thousandths % 60000];
  return `${minutes}:${String(Math.floor(rest / 1000)).padStart(2, "0")}.${String(rest % 1000).padStart(3, "0")}`;
}

// A clip has whole frames: it begins where `frame` appears, or ends where it goes.
function setMark(name, frame) {
  const at = clamp(frame, 0, times.length - 2);
  fields[name].value = exact(times[name === "start" ? at : at + 1]);
  show();
}

// The first frame of the moment, which is seen at its mark, or the last. A mark is told in
// thousandths: a frame less than one behind it is the one that was meant.
function markedFrame(name) {
  const seconds = mark(name);
  if (seconds === null) return null;
  return name === "start" ? frameAt(seconds + 0.0009) : clamp(firstFrom(seconds) - 1, 0, times.length - 2);
}

function nudge(name, by) {
  halt();
  const frame = (markedFrame(name) ?? here()) + by;
  setMark(name, frame);
  goTo(frame);
}

// --- What can be done -----------------------------------------------------------------------------

function act(action) {
  const now = here();
  const does = {
    play: () => (video.paused && !backwards ? play() : halt()),
    back: () => (halt(), goTo(here() - 1)),
    on: () => (halt(), goTo(here() + 1)),
    "second-back": () => goTo(frameAt(times[now] - 1)),
    "second-on": () => goTo(frameAt(times[now] + 1)),
    faster: () => {
      const rate = video.paused ? 1 : (FASTER.find((one) => one > video.playbackRate) ?? 2);
      speed.value = String(rate);
      play(rate);
    },
    backwards: playBackwards,
    in: () => setMark("start", now),
    out: () => setMark("end", now),
    that: () => {
      setMark("start", frameAt(Math.max(0, times[now] - Number(words.back))));
      setMark("end", firstFrom(times[now] + Number(words.on)) - 1);
      showMoment();
    },
    "start-back": () => nudge("start", -1),
    "start-on": () => nudge("start", 1),
    "end-back": () => nudge("end", -1),
    "end-on": () => nudge("end", 1),
    moment: () => {
      const [start, end] = loopOf();
      until = end;
      video.currentTime = start + 1e-3;
      play();
    },
    "to-start": () => markedFrame("start") !== null && (halt(), goTo(markedFrame("start"))),
    "to-end": () => markedFrame("end") !== null && (halt(), goTo(markedFrame("end"))),
    loop: () => {
      loop = !loop;
      press("loop", loop);
    },
    sound: () => {
      video.muted = !video.muted;
      press("sound", video.muted);
    },
    full: () => (video.requestFullscreen ? video.requestFullscreen() : video.webkitEnterFullscreen()),
    picture: () => document.getElementById("picture")?.requestSubmit(),
    closer: () => zoom(1 / 2),
    wider: () => zoom(2),
    help: () => (keys.open ? keys.close() : keys.showModal()),
  };
  does[action]?.();
  show();
  // Each step is said by itself; the place of what plays would be said without an end.
  if (STEPS.has(action)) said.textContent = place.textContent;
}

function pressed(event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.closest("input:not([type=checkbox]), textarea, select")) return;
  if (event.key === "?") {
    event.preventDefault();
    act("help");
    return;
  }
  if (!letters.checked || keys.open) return;
  const onButton = event.target.closest("button, a, summary, video, [role=slider]");
  if (onButton && [" ", "Enter", "ArrowLeft", "ArrowRight"].includes(event.key)) return;
  const action = {
    k: "play", " ": "play", j: "backwards", l: "faster", ",": "back", ".": "on",
    arrowleft: "second-back", arrowright: "second-on", i: "in", o: "out", t: "that", p: "moment",
    r: "loop", s: "picture", "[": "to-start", "]": "to-end", "+": "closer", "=": "closer", "-": "wider",
  }[event.key.toLowerCase()];
  if (!action) return;
  event.preventDefault();
  act(action);
}

function press(action, on) {
  player.querySelector(`[data-do=${action}]`).setAttribute("aria-pressed", String(on));
}

// Whether the letter keys are used is nothing about a family; without storage they simply are.
function remembered() {
  try {
    return localStorage.getItem("letters");
  } catch {
    return null;
  }
}

function remember(value) {
  try {
    localStorage.setItem("letters", value);
  } catch {
    // It holds until the page is left.
  }
}

// --- What is shown --------------------------------------------------------------------------------

function show() {
  const frame = here();
  const seconds = wanted ?? video.currentTime;
  place.textContent = `${exact(times[frame]).slice(0, -1)} · ${words.frame.replace("{n}", String(frame))}`;
  const playing = !video.paused || backwards !== null;
  const button = player.querySelector("[data-do=play]");
  button.querySelector(".app-key__name").textContent = playing ? words.pause : words.play;
  button.querySelector("path").setAttribute("d", playing ? "M6 4h4v16H6zM14 4h4v16h-4z" : "M7 4v16l13-8z");
  if (picture && document.activeElement !== picture) picture.value = exact(times[frame]);
  const [start, end] = [mark("start"), mark("end")];
  const both = start !== null && end !== null && end > start;
  const lasting = document.getElementById("mark-length");
  lasting.hidden = !both;
  if (both) lasting.textContent = lasting.dataset.one.replace("{s}", (end - start).toFixed(2));
  document.getElementById("mark-hint").hidden = !(both && end - start > Number(words.long));
  if (playing && (seconds > view[1] || seconds < view[0])) {
    // Turn the page.
    const wide = view[1] - view[0];
    look(seconds - 0.05 * wide, wide);
  }
  put(head, seconds, frame);
  if (start !== null) put(handles.start, start, markedFrame("start"));
  if (end !== null) put(handles.end, end, markedFrame("end"));
  handles.start.hidden ||= start === null;
  handles.end.hidden ||= end === null;
  span.hidden = !both || end < view[0] || start > view[1];
  if (!span.hidden) {
    const [left, right] = [across(Math.max(start, view[0])), across(Math.min(end, view[1]))];
    span.style.left = `${left}px`;
    span.style.width = `${right - left}px`;
  }
}

// Put a slider where its time is, and say it.
function put(slider, seconds, frame) {
  slider.hidden = seconds < view[0] - 1e-6 || seconds > view[1] + 1e-6;
  slider.style.left = `${across(seconds)}px`;
  slider.setAttribute("aria-valuemax", String(times.length - 2));
  slider.setAttribute("aria-valuenow", String(frame));
  slider.setAttribute("aria-valuetext", `${exact(seconds)}, ${words.frame.replace("{n}", String(frame))}`);
}

// --- The timeline ---------------------------------------------------------------------------------

async function loadGlance() {
  const making = document.getElementById("glance-making");
  for (;;) {
    const answer = await fetch(words.glance, { cache: "no-store" });
    if (answer.status !== 202) {
      if (answer.ok) glance = await answer.json();
      break;
    }
    const told = await answer.json();
    if (told.failed) break;
    making.hidden = false;
    making.querySelector("progress").dataset.job = told.job;
    await new Promise((done) => setTimeout(done, 1000));
  }
  making.hidden = true;
  if (!glance) return;
  glance.images = await Promise.all(
    glance.pictures.map(async (data) => {
      const image = new Image();
      image.src = `data:image/jpeg;base64,${data}`;
      await image.decode().catch(() => {});
      return image;
    }),
  );
  draw();
}

function across(seconds) {
  return canvas.offsetLeft + ((seconds - view[0]) / (view[1] - view[0])) * canvas.clientWidth;
}

function timeAt(x) {
  const part = (x - canvas.getBoundingClientRect().left) / canvas.clientWidth;
  return clamp(view[0] + part * (view[1] - view[0]), 0, length());
}

function zoom(by) {
  const wide = clamp((view[1] - view[0]) * by, Math.min(CLOSEST, length()), length());
  const [start, end] = [mark("start"), mark("end")];
  const marked = start !== null && end !== null && end > start && end - start < wide;
  look((marked ? (start + end) / 2 : times[here()]) - wide / 2, wide);
  draw();
}

// Show the moment whole, if it is not to be seen.
function showMoment() {
  const [start, end] = loopOf();
  const wide = view[1] - view[0];
  if (start < view[0] || end > view[1]) look((start + end) / 2 - wide / 2, Math.max(wide, 1.2 * (end - start)));
}

function look(from, wide) {
  wide = Math.min(wide, length());
  const start = clamp(from, 0, length() - wide);
  view = [start, start + wide];
  draw();
}

function draw() {
  const pen = canvas.getContext("2d");
  const dense = window.devicePixelRatio || 1;
  const [width, height] = [canvas.clientWidth, canvas.clientHeight];
  if (!width) return;
  [canvas.width, canvas.height] = [width * dense, height * dense];
  pen.scale(dense, dense);
  pen.fillStyle = "#f0f4f5";
  pen.fillRect(0, 0, width, STRIP + LOUD);
  if (glance?.images) {
    drawPictures(pen, width);
    drawLoudness(pen, width);
  }
  drawTimes(pen, width);
  drawKept(pen, width);
  drawMarked(pen, width);
  document.getElementById("shows").textContent = words.shows
    .replace("{a}", exact(view[0]).slice(0, -4))
    .replace("{b}", exact(view[1]).slice(0, -4));
  show();
}

function drawPictures(pen, width) {
  const first = glance.images[0];
  const wide = (STRIP * first.naturalWidth) / first.naturalHeight || 100;
  const part = length() / glance.images.length;
  for (let x = 0; x < width; x += wide) {
    const seconds = view[0] + ((x + wide / 2) / width) * (view[1] - view[0]);
    const image = glance.images[clamp(Math.floor(seconds / part), 0, glance.images.length - 1)];
    if (image.naturalWidth) pen.drawImage(image, x, 0, wide, STRIP);
    pen.fillStyle = "#fff";
    pen.fillRect(x - 1, 0, 1, STRIP);
  }
}

function drawLoudness(pen, width) {
  if (!glance.loud.length) return;
  const part = length() / glance.loud.length;
  pen.fillStyle = "#005eb8";
  for (let x = 0; x < width; x += 2) {
    const [from, to] = [x, x + 2].map((one) => view[0] + (one / width) * (view[1] - view[0]));
    let loud = 0;
    const last = clamp(Math.floor(to / part), 0, glance.loud.length - 1);
    for (let n = clamp(Math.floor(from / part), 0, last); n <= last; n++) loud = Math.max(loud, glance.loud[n]);
    // As the ear has it: a whisper is to be seen, too.
    const high = Math.max(1, Math.sqrt(loud / 255) * (LOUD - 4));
    pen.fillRect(x, STRIP + LOUD - high, 1.5, high);
  }
}

function drawTimes(pen, width) {
  const wide = view[1] - view[0];
  const step = [0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1200].find((one) => (one / wide) * width > 64) ?? 3600;
  pen.font = "13px Arial, sans-serif";
  pen.textBaseline = "bottom";
  for (let at = Math.ceil(view[0] / step) * step; at <= view[1]; at += step) {
    const x = ((at - view[0]) / wide) * width;
    pen.fillStyle = "#768692";
    pen.fillRect(x, STRIP + LOUD, 1, 6);
    pen.fillStyle = "#4c6272";
    const text = step < 1 ? exact(at).slice(0, -2) : exact(at).slice(0, -4);
    if (x + 40 < width) pen.fillText(text, x + 4, canvas.clientHeight - 4);
  }
}

function drawKept(pen, width) {
  for (const kept of document.querySelectorAll(`.app-moment[data-film="${words.film}"][data-number]:not([data-number=""])`)) {
    const [left, right] = [kept.dataset.start, kept.dataset.end].map(
      (seconds) => ((Number(seconds) - view[0]) / (view[1] - view[0])) * width,
    );
    pen.fillStyle = "#007f3b";
    pen.fillRect(left, STRIP - 4, Math.max(right - left, 3), 8);
    pen.font = "bold 13px Arial, sans-serif";
    pen.fillRect(left, STRIP - 12, 18, 18);
    pen.fillStyle = "#fff";
    pen.fillText(kept.dataset.number, left + 5, STRIP + 4);
  }
}

/** What was marked while filming: a flag from the top, so that it is not told by its colour. */
function drawMarked(pen, width) {
  for (const at of words.marked.split(" ").filter(Boolean)) {
    const x = ((Number(at) - view[0]) / (view[1] - view[0])) * width;
    pen.fillStyle = "#212b32";
    pen.fillRect(x - 1, 0, 2, STRIP);
    pen.beginPath();
    pen.moveTo(x + 1, 0);
    pen.lineTo(x + 13, 6);
    pen.lineTo(x + 1, 12);
    pen.fill();
  }
}

function connectTimeline() {
  const move = (event) => {
    halt();
    goTo(frameAt(timeAt(event.clientX)));
  };
  drag(canvas, move);
  drag(head, move);
  for (const [name, handle] of Object.entries(handles)) {
    const other = name === "start" ? "end" : "start";
    drag(handle, (event) => {
      halt();
      // The handle stands beside its mark: it is its inner edge that is moved.
      const x = event.clientX + (name === "start" ? 12 : -12);
      let frame = frameAt(timeAt(x));
      const limit = markedFrame(other);
      if (limit !== null) frame = name === "start" ? Math.min(frame, limit) : Math.max(frame, limit);
      setMark(name, frame);
      goTo(frame);
    });
    handle.addEventListener("keydown", (event) => slide(event, (by) => nudge(name, by)));
  }
  head.addEventListener("keydown", (event) => slide(event, (by) => (halt(), goTo(here() + by))));
}

function drag(thing, move) {
  thing.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    thing.setPointerCapture(event.pointerId);
    if (thing === canvas) move(event);
  });
  thing.addEventListener("pointermove", (event) => {
    if (thing.hasPointerCapture(event.pointerId)) move(event);
  });
}

// A slider under the arrow keys: by a frame, with Shift by a second.
function slide(event, by) {
  const steps = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1, PageDown: -300, PageUp: 300 }[event.key];
  if (!steps) return;
  event.preventDefault();
  by(event.shiftKey ? steps * Math.round(times.length / length()) : steps);
}
