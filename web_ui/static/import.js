// How far a film is that is being sent to the kit, and stopping it. Without scripts the browser
// itself shows that.

const form = document.getElementById("import");

if (form) {
  const file = document.getElementById("film");
  const sending = document.getElementById("sending");
  const bar = document.getElementById("sent");
  const problem = document.getElementById("not-sent");
  const send = form.querySelector("button[type=submit]");

  const show = (words) => {
    sending.hidden = true;
    send.disabled = false;
    problem.textContent = words;
    problem.hidden = !words;
  };

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (file.files[0].size > Number(form.dataset.largest)) {
      show(form.dataset.tooLarge);
      return;
    }
    show("");
    const request = new XMLHttpRequest();
    request.open("POST", form.action);
    request.upload.addEventListener("progress", (now) => {
      if (now.lengthComputable) bar.value = now.loaded / now.total;
    });
    request.addEventListener("load", () => {
      if (request.status < 400) {
        location.assign(request.responseURL);
        return;
      }
      // The page says why, in words.
      const answer = new DOMParser().parseFromString(request.responseText, "text/html");
      const main = answer.getElementById("maincontent");
      show(main ? main.textContent.trim().replace(/\s+/g, " ") : form.dataset.brokenOff);
    });
    for (const end of ["error", "abort", "timeout"]) {
      request.addEventListener(end, () => show(form.dataset.brokenOff));
    }
    document.getElementById("stop-sending").onclick = () => request.abort();
    request.send(new FormData(form));
    send.disabled = true;
    sending.hidden = false;
  });
}
