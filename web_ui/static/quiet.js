// Forms that are sent without leaving the page: what plays goes on playing, and only the parts of
// the page that changed are put in. Where this does not run, they are sent like any form.

import { renew } from "./renew.js";

document.addEventListener("submit", async (event) => {
  const form = event.target;
  if (!form.matches("[data-quiet]") || event.defaultPrevented) return;
  event.preventDefault();
  const body = new FormData(form, event.submitter);
  const buttons = [...form.querySelectorAll("button")].filter((button) => !button.disabled);
  for (const button of buttons) button.disabled = true;
  form.querySelector(".app-unsent")?.remove();
  try {
    const answer = await fetch(form.action, { method: "POST", body, cache: "no-store" });
    const text = await answer.text();
    // Before the page is renewed, for it may say that one of them does nothing any more.
    for (const button of buttons) button.disabled = false;
    // Locked meanwhile, or moved: be there, as any form would.
    if (new URL(answer.url).pathname !== location.pathname && answer.redirected) {
      location.assign(answer.url);
      return;
    }
    const told = new DOMParser().parseFromString(text, "text/html");
    if (!told.querySelector("[data-fresh]")) {
      document.documentElement.replaceWith(document.adoptNode(told.documentElement));
      return;
    }
    renew(told);
    if (!answer.ok) document.querySelector(".nhsuk-error-summary")?.focus();
    form.dispatchEvent(new CustomEvent("sent", { bubbles: true, detail: { ok: answer.ok } }));
    stay(form, event.submitter);
  } catch {
    // A browser's own error would take Stop and the time left away, in the middle of a film.
    const words = document.createElement("p");
    words.className = "nhsuk-error-message app-unsent";
    words.setAttribute("role", "alert");
    words.textContent = document.getElementById("line").dataset.unsent;
    form.append(words);
    for (const button of buttons) button.disabled = false;
  }
});

// A button that does nothing for a moment, or for good, loses the keyboard: it stays where it was.
function stay(form, button) {
  if (!button?.value || (button.isConnected && document.activeElement === button && !button.disabled)) return;
  const again = [...document.querySelectorAll("form[data-quiet]")].find((other) => other.action === form.action);
  const same = again?.querySelector(`button[value="${CSS.escape(button.value)}"]`);
  const next = same?.disabled ? again.querySelector("button:enabled") : same;
  (next ?? again?.querySelector("button") ?? document.getElementById("clips"))?.focus();
}
