"""In the sandbox of the page, which runs before a stick is there: writes on the one that is plugged
in, and ejects it. Says what became of it in the words that the page has for it.
"""

import time
from pathlib import Path

from appliance.errors import StickFailed
from web_ui.system.usb_sticks import Folder, Sticks, Udisks

MOST_SECONDS = 300.0


def said(sticks: Sticks, device: str) -> str:
    try:
        with Folder(sticks.ready(device)) as folder:
            folder.check_free_space([1000])
            folder.put("clip.mp4", [b"seen" * 250])
        sticks.eject(device)
    except StickFailed as failed:
        return str(failed)
    return "written"


def main() -> None:
    told = Path("/run/attune/web/stick")
    sticks = Sticks(Udisks())
    assert not sticks.plugged_in()
    told.write_text("waits")
    end = time.monotonic() + MOST_SECONDS
    words = "still checking"
    # The page says so for as long as udisks2 has not looked at what the kernel has found.
    while "still checking" in words and time.monotonic() < end:
        time.sleep(0.5)
        words = next((said(sticks, stick.device) for stick in sticks.plugged_in()), words)
    told.write_text(f"{words}\n")


if __name__ == "__main__":
    main()
