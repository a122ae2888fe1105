// The viewer's page: files come in, clips are seen, and all is forgotten.
import { ABOUT, Keys, look, Refusal } from "./opening.js";

const FILM = "video/mp4", PICTURE = "image/jpeg";
const part = (id) => document.getElementById(id);
const [choosing, watching, heading] = ["choosing", "watching", "heading"].map(part);
const [video, picture, files, words] = ["video", "picture", "files", "words"].map(part);

/** Everything that is known of what is open: dropped as one. */
const nothing = () => ({ chosen: [], keys: null, clips: [], at: -1, url: "", turn: 0 });
let open = nothing();

// --- Choosing -------------------------------------------------------------------------------

async function take(list) {
  clear(part("problem"));
  const found = await Promise.allSettled([...list].map(look));
  for (const { value } of found.filter((one) => one.value)) {
    open.chosen = open.chosen.filter((one) => one.name !== value.name);
    open.chosen.push(value);
  }
  open.chosen.sort((a, b) => a.name.localeCompare(b.name, "en", { numeric: true }));
  part("chosen").replaceChildren(...open.chosen.map((one) => said("li", inTheList(one))));
  part("chosen").hidden = !open.chosen.length;
  // So that the same file can be chosen again once it is mended.
  files.value = "";
  const problems = found.filter((one) => one.reason).map((one) => one.reason);
  if (problems.length) tell(part("problem"), problems);
  else if (open.chosen.length) words.focus();
}

function inTheList(one) {
  if (one.isKey) return `${one.name}: a key file`;
  return one.name === ABOUT ? `${one.name}: says until when you may watch` : `${one.name}: locked`;
}

async function unlock() {
  clear(part("problem"));
  const sealed = open.chosen.filter((one) => !one.isKey && one.name !== ABOUT);
  try {
    if (!sealed.length) throw new Refusal("Choose the files that you were given: their names end in mp4.age or jpg.age.");
    const keys = new Keys(words.value);
    for (const one of open.chosen.filter((one) => one.isKey)) await keys.add(one);
    const about = await read(keys, open.chosen.find((one) => one.name === ABOUT));
    Object.assign(open, { keys, clips: inOrder(sealed, about), until: about?.until ?? null });
    const first = await opened(0);
    watch();
    await show(0, first);
  } catch (error) {
    open.keys = null;
    tell(part("problem"), [error]);
  }
}

/** What the sealed letter beside a share says. Raises Refusal. */
async function read(keys, chosen) {
  if (!chosen) return null;
  const text = await (await keys.open(chosen)).text();
  try {
    const found = JSON.parse(text);
    const until = new Date(found.until);
    if (found.attune !== "share-about/v1" || isNaN(until)) throw new Error();
    return { until, files: found.files.map((one) => ({ name: String(one.name), seconds: Number(one.seconds) })) };
  } catch {
    throw new Refusal(`${chosen.name} is not of a kind that this page knows. Use the viewer that came with these files.`);
  }
}

function inOrder(sealed, about) {
  const told = about?.files ?? [];
  const place = (one) => (told.findIndex((file) => file.name === one.name) + 1) || told.length + 1;
  return [...sealed].sort((a, b) => place(a) - place(b)).map((chosen, index) => {
    const seconds = told.find((file) => file.name === chosen.name)?.seconds;
    const plain = chosen.name.replace(/\.age$/i, "");
    const kind = /\.jpe?g$/i.test(plain) ? "Picture" : "Clip";
    const whole = Math.max(1, Math.round(seconds));
    const length = !(seconds > 0) ? "" : whole === 1 ? ", 1 second" : `, ${whole} seconds`;
    // A name that a kit gave says no more than the number does.
    const name = /^[0-9]+\.(mp4|jpg)$/.test(plain) ? "" : `: ${plain}`;
    return { chosen, title: `${kind} ${index + 1} of ${sealed.length}${length}${name}` };
  });
}

// --- Watching -------------------------------------------------------------------------------

function watch() {
  // What opens is held in `open.keys` alone from here on.
  words.value = "";
  choosing.hidden = true;
  watching.hidden = false;
  heading.textContent = open.clips.length === 1 ? "Your clip" : "Your clips";
  const last = open.until && new Date(open.until.getTime() - 1);
  part("until").textContent = last
    ? `You may watch until the end of ${last.toLocaleDateString("en-GB", { dateStyle: "long" })}. After that, delete the files.`
    : open.clips.every((clip) => clip.chosen.byWords)
      ? "They are yours: you decide who sees them. Keep your words apart from the files."
      : "This page was not told until when you may watch. Ask whoever shared them, and delete the files after that.";
  part("clips").replaceChildren(...open.clips.map((clip, index) => {
    const button = said("button", clip.title);
    button.type = "button";
    button.addEventListener("click", () => show(index));
    const item = document.createElement("li");
    item.append(button);
    return item;
  }));
  heading.focus();
}

/** A clip in clear: its bytes' kind is looked at, whatever its name says. Raises Refusal. */
async function opened(index) {
  const { keys, clips, until } = open;
  if (until && Date.now() >= until.getTime()) {
    const last = new Date(until.getTime() - 1).toLocaleDateString("en-GB", { dateStyle: "long" });
    throw new Refusal(`These clips were shared until ${last}. That day is over, so they are not shown. Delete the files, or ask for them to be shared again. If the day is wrong, look at the date of this computer.`);
  }
  const { chosen } = clips[index];
  const clear = await keys.open(chosen);
  const head = new Uint8Array(await clear.slice(0, 8).arrayBuffer());
  const film = String.fromCharCode(...head.slice(4)) === "ftyp";
  if (!film && !(head[0] === 0xff && head[1] === 0xd8)) {
    throw new Refusal(`${chosen.name} was opened, and it is neither a film nor a picture. Ask whoever sent it.`);
  }
  return clear.slice(0, clear.size, film ? FILM : PICTURE);
}

async function show(index, ready = null) {
  const turn = ++open.turn, whole = open;
  forgetClip();
  clear(part("trouble"));
  open.at = index;
  part("now").textContent = `Opening ${open.clips[index].title}`;
  [...part("clips").querySelectorAll("button")].forEach((button, number) => {
    if (number === index) button.setAttribute("aria-current", "true");
    else button.removeAttribute("aria-current");
  });
  part("before").disabled = index === 0;
  part("next").disabled = index === open.clips.length - 1;
  try {
    if (!ready) await painted();
    const clear = ready ?? await opened(index);
    // Closed, or another was asked for meanwhile.
    if (open !== whole || open.turn !== turn) return;
    open.url = URL.createObjectURL(clear);
    const film = clear.type === FILM;
    [video.hidden, picture.hidden] = [!film, film];
    (film ? video : picture).src = open.url;
    picture.alt = film ? "" : open.clips[index].title;
    video.setAttribute("aria-label", open.clips[index].title);
    part("now").textContent = open.clips[index].title;
    // A browser may want a press for sound; its own button is there.
    if (film) video.play().catch(() => {});
  } catch (error) {
    if (open !== whole || open.turn !== turn) return;
    part("now").textContent = `${open.clips[index].title}: not opened`;
    tell(part("trouble"), [error]);
  }
}

function forgetClip() {
  for (const shown of [video, picture]) {
    shown.removeAttribute("src");
    shown.hidden = true;
  }
  video.load();
  if (open.url) URL.revokeObjectURL(open.url);
  open.url = "";
}

/** Drop the clips in clear, the keys and the words. */
function close() {
  forgetClip();
  open = nothing();
  words.value = files.value = part("now").textContent = part("until").textContent = "";
  part("clips").replaceChildren();
  part("chosen").replaceChildren();
  part("chosen").hidden = watching.hidden = true;
  clear(part("problem"));
  clear(part("trouble"));
  choosing.hidden = false;
  heading.textContent = "Watch your clips";
}

// --- Words ----------------------------------------------------------------------------------

function said(tag, text) {
  const made = document.createElement(tag);
  made.textContent = text;
  return made;
}

function tell(place, errors) {
  place.replaceChildren(...errors.map((error) => said("p", error instanceof Refusal
    ? error.message
    : "This browser could not do that. Close other windows, or try Chrome, Edge, Firefox or Safari of this year.")));
  place.hidden = false;
  document.title = "Error: Viewer for locked clips";
  if (place.hasAttribute("tabindex")) place.focus();
}

function clear(place) {
  place.replaceChildren();
  place.hidden = true;
  document.title = "Viewer for locked clips";
}

/** Until what was written is seen: stretching words keeps a browser busy for a second. */
const painted = () => new Promise((done) => setTimeout(done, 50));

async function busy(text, work) {
  part("busy").textContent = text;
  part("open").disabled = files.disabled = true;
  await painted();
  try {
    await work();
  } finally {
    part("busy").textContent = "";
    part("open").disabled = files.disabled = false;
  }
}

// --- What somebody does ---------------------------------------------------------------------

files.addEventListener("change", () => take(files.files));
choosing.addEventListener("submit", (event) => {
  event.preventDefault();
  if (!part("open").disabled) busy("Opening. This may take a moment.", unlock);
});
part("show").addEventListener("change", (event) => {
  words.type = event.target.checked ? "text" : "password";
});
part("before").addEventListener("click", () => show(open.at - 1));
part("next").addEventListener("click", () => show(open.at + 1));
part("close").addEventListener("click", () => {
  close();
  heading.focus();
});
video.addEventListener("error", () => {
  if (open.url) tell(part("trouble"), [new Refusal("This browser cannot play this film. Try Chrome, Edge, Firefox or Safari of this year.")]);
});
addEventListener("dragover", (event) => {
  event.preventDefault();
  part("drop").classList.add("over");
});
addEventListener("dragleave", () => part("drop").classList.remove("over"));
addEventListener("drop", (event) => {
  event.preventDefault();
  part("drop").classList.remove("over");
  if (choosing.hidden) close();
  take(event.dataTransfer.files);
});
addEventListener("pagehide", close);
choosing.hidden = false;
