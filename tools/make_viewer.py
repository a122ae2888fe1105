#!/usr/bin/env python3
"""tools/make_viewer.py - put the viewer together: one HTML file from appliance/viewer/parts.

esbuild makes one script of the page's own and of typage with what that needs; the versions and
digests of all of them are in package-lock.json. The file's policy allows this script and this style
sheet, by their digests, and nothing from anywhere else.
"""

import base64
import hashlib
import json
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PARTS = ROOT / "appliance" / "viewer" / "parts"
OUT = ROOT / "appliance" / "viewer" / "viewer.html"
WORK = ROOT / "build" / "viewer"
MODULES = ROOT / "node_modules"
# What old tablets that still get updates understand.
TARGET = "es2020"


def bundle() -> tuple[str, list[Path]]:
    """The script, and the folders of the packages that are in it."""
    WORK.mkdir(parents=True, exist_ok=True)
    script, about = WORK / "page.js", WORK / "about.json"
    command: list[str | Path] = [
        MODULES / ".bin" / "esbuild",
        PARTS / "page.js",
        "--bundle",
        "--minify",
    ]
    command += ["--format=iife", f"--target={TARGET}", "--charset=utf8", "--legal-comments=none"]
    command += ["--log-level=warning", f"--outfile={script}", f"--metafile={about}"]
    subprocess.run(command, check=True, cwd=ROOT)
    (made,) = json.loads(about.read_text())["outputs"].values()
    used = [Path(path) for path, part in made["inputs"].items() if part["bytesInOutput"]]
    packages = {_package(path) for path in used if path.parts[0] == MODULES.name}
    return script.read_text().strip(), sorted(packages)


def _package(path: Path) -> Path:
    """The folder of the package in which a module lies."""
    return next(one for one in path.parents if (ROOT / one / "package.json").exists())


def licences(packages: list[Path]) -> str:
    """Their names, versions and licences, which ask to be handed on with them."""
    texts: dict[str, list[str]] = {}
    for one in packages:
        about = json.loads((ROOT / one / "package.json").read_text())
        text = (ROOT / one / "LICENSE").read_text().strip()
        texts.setdefault(text, []).append(f"{about['name']} {about['version']}")
    ours = "Attune's viewer, under the Apache Licence 2.0, with these parts in it:"
    return "\n\n".join([ours, *(f"{', '.join(names)}\n{text}" for text, names in texts.items())])


def source(text: str) -> str:
    """How a policy names what may run: by its digest."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def page() -> str:
    """The whole file."""
    script, packages = bundle()
    style, terms = (PARTS / "page.css").read_text().strip(), licences(packages)
    # What would end the element that it stands in.
    for text, ends in ((script, ("</script", "<!--")), (style, ("</",)), (terms, ("--", "<!"))):
        assert not any(end in text for end in ends), "the viewer's parts would break its page"
    policy = (
        f"default-src 'none'; script-src {source(script)}; style-src {source(style)}; "
        "media-src blob:; img-src blob:; base-uri 'none'; form-action 'none'"
    )
    made = (PARTS / "page.html").read_text()
    for name, text in (
        ("POLICY", policy),
        ("STYLE", style),
        ("LICENCES", terms),
        ("SCRIPT", script),
    ):
        assert made.count(f"@{name}@") == 1
        made = made.replace(f"@{name}@", text)
    return made


if __name__ == "__main__":
    OUT.write_text(page())
    data = OUT.read_bytes()
    print(f"{hashlib.sha256(data).hexdigest()}  {OUT.relative_to(ROOT)}  {len(data)} bytes")
