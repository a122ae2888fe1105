// What makes the page livelier where scripts run; every page also works without them.

import { initAll } from "./vendor/nhsuk-frontend.min.js";
import { renew } from "./renew.js";

// Milliseconds: a kit that says nothing for so long is out of reach; how often it hears of what plays.
const SILENCE = 5000, WATCHED = 20_000;
const line = document.getElementById("line");
const main = document.getElementById("maincontent");
const unlocked = document.querySelector("form[action='/lock']") !== null;

initAll();
followKit();
offerTime();
connectVirtualButton();
showWhatIsChosen();
showFraming();

// --- The kit's line, as the kit sends it ----------------------------------------------------------

function followKit() {
  let known = main.dataset.follow, newest = known;
  let silence, locking = false, asking = false;
  document.querySelector("form[action='/lock']")?.addEventListener("submit", () => (locking = true));
  // One at a time: of two answers on their way the older one may come last. Where the kit answers that
  // there is no such page, it is not asked again until something changes: each time it is asked puts
  // the idle lock off.
  const keepUp = async () => {
    if (asking || !known) return;
    asking = true;
    while (known !== newest) {
      const wanted = newest;
      try {
        known = await refresh() ?? wanted;
      } catch {
        showSilence();
        setTimeout(keepUp, SILENCE);
        break;
      }
      if (wanted === newest) break;
    }
    asking = false;
  };
  const follow = () => {
    const events = new EventSource(line.dataset.events);
    events.onmessage = (event) => {
      clearTimeout(silence);
      silence = setTimeout(showSilence, SILENCE);
      if (event.data === "same") return;
      const told = JSON.parse(event.data);
      show(told);
      if (unlocked && told.locked) {
        // Whoever locks it here is on the way already, and not to this page.
        if (!locking) location.assign(location.pathname + location.search);
      } else {
        newest = told.follow;
        keepUp();
      }
    };
    events.onerror = () => {
      // It asks again by itself, unless it was refused.
      if (events.readyState === EventSource.CLOSED) setTimeout(follow, SILENCE);
    };
  };
  silence = setTimeout(showSilence, SILENCE);
  follow();
  // What plays puts the idle lock off.
  setInterval(() => {
    const playing = [...document.querySelectorAll("video")].some((video) => !video.paused);
    if (playing) fetch(`${line.dataset.status}?watching`, { cache: "no-store" }).catch(() => {});
  }, WATCHED);
}

function show(told) {
  text("line-doing", told.doing);
  text("line-lamp", told.lamp);
  text("line-countdown", told.countdown);
  document.querySelector(".app-line__countdown").hidden = !told.countdown;
  for (const name of ["reason", "clock", "free", "unproven", "failing", "removable"]) {
    text(`line-${name}`, told[name]);
    document.getElementById(`line-${name}`).hidden = !told[name];
  }
  line.classList.remove("app-line--silent");
  line.classList.toggle("app-line--filming", told.filming);
  const stop = line.querySelector(".app-line__stop");
  if (stop) stop.hidden = !told.filming;
  for (const lamp of document.querySelectorAll(".app-lamp:not(.app-lamp--example)")) {
    if (lamp.dataset.light !== told.light) lamp.dataset.light = told.light;
  }
  text("virtual-words", told.lamp);
  const sound = document.getElementById("sound");
  if (sound && told.heard) sound.value = told.heard.level;
  if (told.heard) text("heard", told.heard.words);
  if (told.bright) text("bright", told.bright);
  for (const [job, percent] of Object.entries(told.making)) {
    const bar = document.querySelector(`progress[data-job="${job}"]`);
    if (bar) bar.value = percent;
  }
}

function showSilence() {
  line.classList.add("app-line--silent");
  text("line-doing", line.dataset.silent);
  text("line-lamp", "");
  document.querySelector(".app-line__countdown").hidden = true;
  for (const lamp of document.querySelectorAll(".app-lamp:not(.app-lamp--example)")) lamp.dataset.light = "";
}

function text(id, words) {
  const element = document.getElementById(id);
  if (element && element.textContent !== words) element.textContent = words;
}

// What the page shows beyond the line is out of date: fetch it, and put in the parts that changed.
// Gives what the fetched page is known by, undefined if there is none.
async function refresh() {
  const answer = await fetch(location.href, { cache: "no-store" });
  if (!answer.ok) return undefined;
  if (new URL(answer.url).pathname !== location.pathname) {
    location.assign(answer.url);
    return undefined;
  }
  const told = new DOMParser().parseFromString(await answer.text(), "text/html");
  renew(told);
  return told.getElementById("maincontent").dataset.follow;
}

// --- Framing: the picture of this moment, four times a second -------------------------------------

function showFraming() {
  let number = 0;
  const next = async () => {
    const picture = document.getElementById("seen");
    if (picture) {
      // One at a time, however slow the way is; where it fails, the line says why.
      picture.src = `${picture.dataset.picture}?${++number}`;
      await picture.decode().catch(() => {});
    }
    setTimeout(next, 250);
  };
  if (document.getElementById("framing")) next();
}

// --- The time that is vouched for -----------------------------------------------------------------

function offerTime() {
  const field = document.querySelector("#unlock #time");
  if (!field) return;
  let touched = false;
  field.addEventListener("input", () => (touched = true));
  const set = () => {
    if (touched) return;
    const now = new Date();
    const east = -now.getTimezoneOffset();
    field.value = new Date(now.getTime() + east * 60_000).toISOString().slice(0, 19);
    document.getElementById("offset").value = east;
  };
  set();
  setInterval(set, 1000);
}

// --- Parts of a form that belong to one answer only -----------------------------------------------

function showWhatIsChosen() {
  for (const part of document.querySelectorAll("[data-when]")) {
    const [name, values] = part.dataset.when.split("=");
    const choices = document.querySelectorAll(`input[name="${name}"]`);
    const set = () => {
      part.hidden = ![...choices].some((choice) => choice.checked && values.split("|").includes(choice.value));
    };
    for (const choice of choices) choice.addEventListener("change", set);
    set();
  }
}

// --- The virtual kit's button: down while it is held, up when it is let go ------------------------

function connectVirtualButton() {
  const form = document.getElementById("virtual-button");
  if (!form) return;
  const button = form.querySelector("button");
  let sent = Promise.resolve();
  let down = false;
  const move = (edge) => {
    if (down === (edge === "down")) return;
    down = !down;
    button.classList.toggle("app-virtual__button--down", down);
    const body = new FormData(form);
    body.set("edge", edge);
    // One after the other, so that up never overtakes down.
    sent = sent.then(() => fetch(form.action, { method: "POST", body })).catch(showSilence);
  };
  form.addEventListener("submit", (event) => event.preventDefault());
  button.addEventListener("pointerdown", (event) => {
    button.setPointerCapture(event.pointerId);
    move("down");
  });
  for (const name of ["pointerup", "pointercancel"]) button.addEventListener(name, () => move("up"));
  button.addEventListener("contextmenu", (event) => event.preventDefault());
  button.addEventListener("keydown", (event) => {
    if (event.key !== " " && event.key !== "Enter") return;
    event.preventDefault();
    if (!event.repeat) move("down");
  });
  button.addEventListener("keyup", (event) => {
    if (event.key === " " || event.key === "Enter") move("up");
  });
  button.addEventListener("blur", () => move("up"));
}
