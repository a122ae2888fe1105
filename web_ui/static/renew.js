// The parts of a page that may change ([data-fresh]) become what the kit says now, and what somebody
// is using stays: what plays plays on, what was typed, ticked, chosen or opened is left to them, and
// the keyboard stays where it was.

import { Idiomorph } from "./vendor/idiomorph.min.js";

export function renew(told) {
  // It says whether something is wrong with what was sent.
  document.title = told.title;
  for (const part of document.querySelectorAll("[data-fresh]")) {
    const other = told.getElementById(part.id);
    if (other) become(part, other);
  }
}

function become(part, other) {
  const held = part.contains(document.activeElement) ? document.activeElement : null;
  const playing = [...part.querySelectorAll("video, audio")].filter((one) => !one.paused);
  Idiomorph.morph(part, other, {
    restoreFocus: false,
    callbacks: {
      beforeNodeMorphed: (here) => !isFilledIn(here) && !isTypedInto(here),
      // It is answered when it is sent, if its place is gone.
      beforeNodeRemoved: (here) => here.nodeType !== Node.ELEMENT_NODE || ![here, ...here.querySelectorAll("*")].some(isFilledIn),
      beforeAttributeUpdated: (name, here) => !(name === "open" && here.matches("details, dialog")),
    },
  });
  // Where a browser cannot move a part without taking it out, that paused it and took the keyboard away.
  for (const one of playing) if (one.isConnected && one.paused && !one.ended) one.play().catch(() => {});
  if (!held || part.contains(document.activeElement)) return;
  const again = held.isConnected ? held : [...part.querySelectorAll(held.localName)].find((one) => one.isEqualNode(held));
  again?.focus({ preventScroll: true });
}

const FIELDS = "input:not([type=hidden], [type=submit], [type=button]), textarea, select";

function isTypedInto(here) {
  return here === document.activeElement && here.matches(FIELDS);
}

// Whether a person has changed this field since the kit sent it.
function isFilledIn(here) {
  if (here.nodeType !== Node.ELEMENT_NODE || !here.matches(FIELDS)) return false;
  if (here.type === "checkbox" || here.type === "radio") return here.checked !== here.defaultChecked;
  if (here.localName !== "select") return here.value !== here.defaultValue;
  const chosen = [...here.options];
  const sent = chosen.some((one) => one.defaultSelected);
  // Without a word of the kit, the first is what a browser shows.
  return chosen.some((one, place) => one.selected !== (sent || here.multiple ? one.defaultSelected : place === 0));
}
