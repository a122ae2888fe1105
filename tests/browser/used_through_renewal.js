// Use each thing in each part that a page renews, renew it, and tell what did not stay.
async () => {
  const { renew } = await import("/assets/renew.js");
  const wrong = [];
  const uses = {
    "video": async (one) => {
      one.muted = one.loop = true;
      await one.play();
      return () => !one.paused;
    },
    "input[type=text], input:not([type]), textarea": (one) => {
      one.focus();
      one.value = "half a sent";
      return () => one.value === "half a sent" && document.activeElement === one;
    },
    "input[type=checkbox], input[type=radio]": (one) => {
      one.checked = !one.checked;
      const now = one.checked;
      return () => one.checked === now;
    },
    "select": (one) => {
      one.selectedIndex = one.options.length - 1;
      const now = one.value;
      return () => one.value === now;
    },
    "summary": (one) => {
      one.parentElement.open = true;
      return () => one.parentElement.open;
    },
    "a[href], button:enabled, summary, [tabindex]": (one) => {
      one.focus();
      return () => document.activeElement === one || one.disabled;
    },
    "*": (one) => {
      const scrolls = getComputedStyle(one).overflowY === "auto";
      if (!scrolls || one.scrollHeight <= one.clientHeight) return null;
      one.scrollTop = 1;
      return () => one.scrollTop === 1;
    },
  };
  // What comes is never quite what was there: something before it, other words, another order.
  const altered = (part) => {
    const told = document.implementation.createHTMLDocument("");
    const other = told.importNode(part, true);
    told.body.append(other);
    for (const gone of other.querySelectorAll("details")) gone.open = false;
    const texts = told.createTreeWalker(other, NodeFilter.SHOW_TEXT);
    while (texts.nextNode()) if (texts.currentNode.data.trim()) texts.currentNode.data += " anew";
    for (const list of other.querySelectorAll("ol, ul")) {
      list.append(...[...list.children].reverse());
    }
    other.insertAdjacentHTML("afterbegin", "<div class='app-making'><p>being made</p></div>");
    return told;
  };
  for (const part of document.querySelectorAll("[data-fresh]")) {
    const first = part.cloneNode(true);
    for (const [kind, use] of Object.entries(uses)) {
      for (const one of [...part.querySelectorAll(kind)]) {
        if (!one.checkVisibility()) continue;
        const still = await use(one);
        if (!still) continue;
        renew(altered(first));
        // At once: the page itself may renew the part again meanwhile.
        if (!part.innerText.includes("being made")) wrong.push(`${part.id}: nothing was put in`);
        await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
        if (!one.isConnected || !still()) {
          wrong.push(`${part.id}: ${kind}: ${one.outerHTML.slice(0, 200)}`);
        }
        if (one.localName === "video") one.pause();
      }
    }
    renew(altered(first));
    if (!part.innerText.includes("being made")) wrong.push(`${part.id}: nothing was put in`);
  }
  return wrong;
}
