// Writing, ticking and signing are use of the page: they put the idle lock off, like what plays.

const EVERY = 60_000;
const address = `${document.getElementById("line").dataset.status}?watching`;
let told = 0;

for (const kind of ["input", "pointerdown"]) {
  document.addEventListener(kind, (event) => {
    if (!event.target.closest("main form") || performance.now() - told < EVERY && told) return;
    told = performance.now();
    fetch(address, { cache: "no-store" }).catch(() => {});
  });
}
