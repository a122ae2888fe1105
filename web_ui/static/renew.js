// The parts of a page that may change ([data-fresh]) are put in where they differ from the page as it
// is now. What somebody opened stays open, and the keyboard stays on what it was on.

export function renew(told) {
  for (const part of document.querySelectorAll("[data-fresh]")) {
    const other = told.getElementById(part.id);
    if (!other) continue;
    for (const opened of part.querySelectorAll("details[open]")) {
      const again = other.querySelector(`#${CSS.escape(opened.id)}`);
      if (again) again.open = true;
    }
    if (other.innerHTML === part.innerHTML) continue;
    const held = part.contains(document.activeElement) ? document.activeElement : null;
    part.replaceChildren(...other.childNodes);
    if (held) [...part.querySelectorAll(held.localName)].find((one) => one.isEqualNode(held))?.focus();
  }
}
