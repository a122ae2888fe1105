// The shared review. The family's window shows one moment at a time; the practitioner's window has
// it in hand. They speak through the browser alone: nothing of it goes over a network.

const EVERY = 20_000;
const show = document.getElementById("show");
const notes = document.getElementById("notes");
const copy = document.getElementById("copy");

for (const part of document.querySelectorAll("[data-scripted]")) part.hidden = false;
if (show) lookTogether();
if (notes) haveInHand();
if (document.body.dataset.status) stayAwake();
if (copy) {
  copy.addEventListener("click", async () => {
    const words = document.getElementById("words");
    words.select();
    try {
      await navigator.clipboard.writeText(words.value);
      copy.textContent = copy.dataset.done;
    } catch {
      // They stay selected, for the person to copy.
    }
  });
}

// People talk over a picture that stands still: that counts as looking. Once the page is locked,
// nothing of the family stays on the screen.
function stayAwake() {
  setInterval(async () => {
    try {
      const told = await (await fetch(document.body.dataset.status, { cache: "no-store" })).json();
      if (told.locked) location.assign("/unlock");
    } catch {
      // The kit does not answer just now; the next piece of film will say so.
    }
  }, EVERY);
}

// --- The family's window --------------------------------------------------------------------------

function lookTogether() {
  const every = [...show.querySelectorAll(".app-show__one")];
  if (!every.length) return;
  const channel = new BroadcastChannel(show.dataset.channel);
  const begin = document.getElementById("begin");
  const slow = show.querySelector("[data-do=slow]");
  let at = 0;

  document.body.classList.add("app-show--scripted");
  begin.hidden = false;
  begin.querySelector("button").focus();
  for (const video of show.querySelectorAll("video")) {
    video.removeAttribute("controls");
    video.addEventListener("click", () => act("play"));
    for (const name of ["play", "pause", "ended"]) video.addEventListener(name, tell);
  }
  for (const button of show.querySelectorAll("[data-do]")) {
    button.addEventListener("click", () => act(button.dataset.do));
  }
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || !begin.hidden) return;
    if (event.key === " " && event.target.closest("button, a")) return;
    // A presenter's clicker sends the page keys.
    const action = { " ": "play", ArrowLeft: "back", ArrowRight: "on", PageUp: "back", PageDown: "on", ArrowUp: "again", ArrowDown: "slow" }[event.key];
    if (!action) return;
    event.preventDefault();
    act(action);
  });
  channel.addEventListener("message", ({ data }) => {
    if (data.ask) tell();
    if (data.act && begin.hidden) act(data.act);
    if (typeof data.go === "number" && begin.hidden) go(data.go);
  });
  addEventListener("pagehide", () => channel.postMessage({ gone: true }));
  go(0, false);

  function video() {
    return every[at].querySelector("video");
  }

  function play() {
    const film = video();
    if (!film) return;
    film.playbackRate = slow.getAttribute("aria-pressed") === "true" ? 0.5 : 1;
    film.play().catch(() => {});
  }

  function go(number, playing = true) {
    video()?.pause();
    at = Math.min(Math.max(number, 0), every.length - 1);
    for (const [n, one] of every.entries()) one.hidden = n !== at;
    const next = every[at + 1]?.querySelector("video");
    if (next) next.preload = "auto";
    if (video() && playing) {
      video().currentTime = 0;
      play();
    }
    tell();
  }

  function act(action) {
    const film = video();
    const does = {
      begin: () => {
        begin.hidden = true;
        document.documentElement.requestFullscreen?.().catch(() => {});
        show.querySelector("[data-do=play]").focus();
        go(0);
      },
      play: () => (film?.paused ? play() : film?.pause()),
      again: () => go(at),
      back: () => go(at - 1),
      on: () => go(at + 1),
      slow: () => {
        const on = slow.getAttribute("aria-pressed") !== "true";
        slow.setAttribute("aria-pressed", String(on));
        if (film) film.playbackRate = on ? 0.5 : 1;
        tell();
      },
      full: () => (document.fullscreenElement ? document.exitFullscreen() : document.documentElement.requestFullscreen?.()),
    };
    does[action]?.();
  }

  // Say what is seen, here and to the other window.
  function tell() {
    const film = video();
    const playing = Boolean(film && !film.paused && !film.ended);
    show.querySelector("[data-do=play] span").textContent = playing ? show.dataset.pause : show.dataset.play;
    for (const name of ["play", "again", "slow"]) show.querySelector(`[data-do=${name}]`).disabled = !film;
    show.querySelector("[data-do=back]").disabled = at === 0;
    show.querySelector("[data-do=on]").disabled = at === every.length - 1;
    document.getElementById("count").textContent = show.dataset.count.replace("{n}", at + 1).replace("{m}", every.length);
    channel.postMessage({ at, of: every.length, playing, slow: slow.getAttribute("aria-pressed") === "true" });
  }
}

// --- The practitioner's window --------------------------------------------------------------------

function haveInHand() {
  const channel = new BroadcastChannel(notes.dataset.channel);
  const state = document.getElementById("state");
  const closed = state.textContent;
  for (const button of notes.querySelectorAll("[data-do]")) {
    button.addEventListener("click", () => channel.postMessage({ act: button.dataset.do }));
  }
  for (const button of document.querySelectorAll("[data-go]")) {
    button.addEventListener("click", () => channel.postMessage({ go: Number(button.dataset.go) }));
  }
  channel.addEventListener("message", ({ data }) => {
    if (data.gone) showState(null);
    if (typeof data.at === "number") showState(data);
  });
  showState(null);
  channel.postMessage({ ask: true });

  function showState(told) {
    state.textContent = told
      ? notes.dataset.shows.replace("{n}", told.at + 1).replace("{m}", told.of)
      : closed;
    notes.querySelector("[data-do=play] span").textContent = told?.playing ? notes.dataset.pause : notes.dataset.play;
    notes.querySelector("[data-do=slow]").setAttribute("aria-pressed", String(Boolean(told?.slow)));
    for (const button of document.querySelectorAll("#notes [data-do], [data-go]")) button.disabled = !told;
    for (const note of document.querySelectorAll("[data-note]")) {
      const now = told !== null && Number(note.dataset.note) === told.at;
      note.classList.toggle("app-note--now", now);
      if (now) note.setAttribute("aria-current", "true");
      else note.removeAttribute("aria-current");
    }
  }
}
