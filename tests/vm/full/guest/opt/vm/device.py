"""In the sandbox of the recorder, which runs before a camera is there: opens each device that is
named once it is there and udev is through with it; says what became of it.
"""

import json
import os
import sys
import time
from pathlib import Path

MOST_SECONDS = 300.0


def opened(device: Path) -> str:
    try:
        os.close(os.open(device, os.O_RDWR | os.O_NONBLOCK))
    except OSError as error:
        return error.strerror or "failed"
    return "opened"


def main() -> None:
    devices, told = [Path(name) for name in sys.argv[1:]], Path("/run/attune/recorder/devices")
    assert not any(device.exists() for device in devices)
    told.write_text("waits")
    end = time.monotonic() + MOST_SECONDS
    # Whether udev has given it to its group is no matter of the sandbox. Whether a device may be
    # opened is, and that is asked of by access(2) as well.
    while not all(device.exists() for device in devices) and time.monotonic() < end:
        time.sleep(0.5)
    while any(device.stat().st_gid == 0 for device in devices) and time.monotonic() < end:
        time.sleep(0.5)
    told.write_text(json.dumps({str(device): opened(device) for device in devices}))


if __name__ == "__main__":
    main()
