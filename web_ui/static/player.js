// Finding a moment: frame steps and marks on top of the browser's own player. The marks are plain
// fields of a plain form, in seconds.

const player = document.getElementById("player");
const video = player.querySelector("video");
const start = document.getElementById("start");
const end = document.getElementById("end");
const place = document.getElementById("player-place");
const hint = document.getElementById("mark-hint");
let times = null;

document.getElementById("player-bar").hidden = false;
for (const button of player.querySelectorAll("[data-do]")) {
  button.addEventListener("click", () => act(button.dataset.do));
}
document.addEventListener("keydown", (event) => {
  const typing = event.target.closest("input, textarea, select");
  const action = { ",": "back", ".": "on", i: "in", o: "out", t: "that" }[event.key.toLowerCase()];
  if (typing || !action || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  act(action);
});
for (const name of ["timeupdate", "seeked", "loadedmetadata"]) video.addEventListener(name, showPlace);
for (const field of [start, end]) field.addEventListener("input", showHint);
loadFrames();

async function loadFrames() {
  const table = await (await fetch(player.dataset.frames, { cache: "no-store" })).json();
  times = [];
  let ticks = table.first;
  for (const [count, step] of table.steps) {
    for (let n = 0; n < count; n++, ticks += step) times.push(ticks / table.scale);
  }
  times.push(ticks / table.scale);
}

// The number of the frame that is seen at `seconds`.
function frameAt(seconds) {
  let low = 0;
  let high = times.length - 2;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (times[middle] <= seconds + 1e-6) low = middle;
    else high = middle - 1;
  }
  return low;
}

function step(by) {
  if (!times) return;
  video.pause();
  const frame = Math.min(Math.max(frameAt(video.currentTime) + by, 0), times.length - 2);
  // Into the middle of the frame: on its edge a player may round to the one before.
  video.currentTime = (times[frame] + times[frame + 1]) / 2;
}

function act(action) {
  const now = video.currentTime;
  if (action === "back") step(-1);
  if (action === "on") step(1);
  if (action === "in") start.value = edge(now, 0);
  if (action === "out") end.value = edge(now, 1);
  if (action === "that") {
    start.value = edge(Math.max(0, now - Number(player.dataset.back)), 0);
    end.value = edge(Math.min(video.duration || now, now + Number(player.dataset.on)), 1);
  }
  showHint();
}

// Where the frame at `seconds` appears (0), or where it goes (1): a clip has whole frames.
function edge(seconds, side) {
  const exact = times ? times[frameAt(seconds) + side] : seconds;
  return (Math.round(exact * 1e6) / 1e6).toString();
}

function showPlace() {
  const seconds = video.currentTime;
  const minutes = Math.floor(seconds / 60);
  const rest = (Math.floor(seconds * 100) / 100 - 60 * minutes).toFixed(2).padStart(5, "0");
  place.textContent = `${minutes}:${rest}`;
}

function showHint() {
  const length = Number(end.value) - Number(start.value);
  hint.hidden = !(length > Number(player.dataset.long));
  hint.textContent = hint.dataset.long;
}
