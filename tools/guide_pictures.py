"""Renew the pictures of README.md, of the guide and of docs/pages.md: walk through the page in a
browser with two drawn people before the camera, and put together what each walk saw.

make pictures
"""

from pathlib import Path

from playwright.sync_api import Page, sync_playwright

ROOT = Path(__file__).resolve().parent.parent
SHOTS, IMAGES = ROOT / "build" / "screenshots", ROOT / "docs" / "images"
CHROMIUM = "/usr/bin/chromium"

SINGLE = {
    "guide-press": ("02-press", 390, 450),
    "guide-unlock": ("03-unlock", 390, 720),
    "guide-visit": ("12-armed", 390, 1120),
    "guide-framing": ("12-framing", 390, 890),
    "guide-filming": ("13-filming", 390, 900),
    "guide-moment": ("15-film", 820, 1720),
    "guide-certificate": ("18-certificate", 820, 1060),
    "page": ("30-moment-marked", 1280, 1400),
}
"""Of the practitioner guide and of README.md: the page, its width, and how much of it from the top,
in pixels."""
JOURNEYS = {
    "set-up": "01-set-up-refused",
    "unlock": "03-unlock",
    "consent": "09-consent-agree-filming",
    "visit": "12-armed",
    "framing": "12-framing",
    "filming": "13-filming",
    "choosing": "32-moments-kept",
    "review": "36-notes",
    "family": "37-family",
    "copies": "54-copies",
    "import": "52-brought-in",
    "sending": "page-en-sending",
    "withdrawal": "17-withdraw",
    "log": "36-log",
    "kit": "page-en-kit",
}
"""Of docs/pages.md: a page of each journey, at every width."""
WIDTHS = {390: 230, 820: 390, 1280: 520}
"""Each width, and how wide it is drawn."""
HEIGHT = 780


DRAW = """([pictures, height]) => {
  document.body.innerHTML = "";
  document.body.style.cssText =
    `margin:0;display:flex;gap:16px;height:${height}px;overflow:hidden;background:#d8dde0`;
  return Promise.all(pictures.map(([source, width]) => {
    const one = new Image();
    [one.src, one.width] = [source, width];
    one.style.cssText = "align-self:start;display:block;flex:none";
    document.body.append(one);
    return one.decode();
  }));
}"""


def main() -> None:
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page()
        # From the folder itself, or the browser would not show its files.
        page.goto(SHOTS.as_uri())
        for name, (shot, width, height) in SINGLE.items():
            draw(page, [(f"{shot}-{width}", width)], height)
            page.screenshot(path=IMAGES / f"{name}.png")
        for name, shot in JOURNEYS.items():
            draw(page, [(f"{shot}-{width}", drawn) for width, drawn in WIDTHS.items()], HEIGHT)
            page.screenshot(path=IMAGES / f"pages-{name}.jpg", type="jpeg", quality=60)
        browser.close()


def draw(page: Page, pictures: list[tuple[str, int]], height: int) -> None:
    """Put pictures beside one another, each as wide as told, and no more than `height` of them."""
    across = sum(width for _, width in pictures) + 16 * (len(pictures) - 1)
    page.set_viewport_size({"width": across, "height": height})
    page.evaluate(DRAW, [[((SHOTS / f"{n}.png").as_uri(), w) for n, w in pictures], height])


if __name__ == "__main__":
    main()
