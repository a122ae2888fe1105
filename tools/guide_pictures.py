"""Renew the pictures of the practitioner guide from those that the walk in the browser left.

.venv/bin/pytest tests/browser/test_visit.py && .venv/bin/python -m tools.guide_pictures
"""

from pathlib import Path

from playwright.sync_api import sync_playwright

ROOT = Path(__file__).resolve().parent.parent
SHOTS, IMAGES = ROOT / "build" / "screenshots", ROOT / "docs" / "images"
CHROMIUM = "/usr/bin/chromium"

PICTURES = {
    "press": ("02-press", 390, 450),
    "unlock": ("03-unlock", 390, 720),
    "visit": ("12-armed", 390, 1120),
    "framing": ("12-framing", 390, 890),
    "filming": ("13-filming", 390, 900),
    "moment": ("15-film", 820, 1720),
    "certificate": ("18-certificate", 820, 1060),
}
"""For each picture: the page, its width, and how much of it from the top, in points."""


def main() -> None:
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page()
        for name, (shot, width, height) in PICTURES.items():
            page.set_viewport_size({"width": width, "height": height})
            picture = (SHOTS / f"{shot}-{width}.png").as_uri()
            # From the folder itself, or the browser would not show a file.
            page.goto(picture)
            page.evaluate(
                "picture => { document.body.innerHTML = ''; const one = new Image();"
                " one.src = picture; document.body.style.cssText = 'margin:0;background:none';"
                " document.body.append(one); return one.decode(); }",
                picture,
            )
            page.screenshot(path=IMAGES / f"guide-{name}.png")
        browser.close()


if __name__ == "__main__":
    main()
