"""The kit's own recorder, the installed unit, with the settings of a trial: in its own sandbox, as
its own user, with its own limits.

A drop-in in /run has it start with other settings. It is gone at the next start of the machine; and
a child waits for the end of whoever placed it, in whatever way that comes, to put everything back.
"""

import re
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Self

from appliance.config import Config
from appliance.errors import NotPossible
from appliance.selftest.kit import Kit, Process

RECORDER = "attune-recorder.service"
UNITS = (RECORDER, "attune-web.service", "attune-sync.service")
DROP_IN = Path("/run/systemd/system") / f"{RECORDER}.d" / "acceptance.conf"
_PATIENCE = 180.0
"""Seconds that systemd may take to start or stop a unit."""
_ASK_EVERY = 1.0
_PUT_BACK = """\
trap '' HUP INT TERM
cat >/dev/null
rm -f "$1"
rmdir "${1%/*}"
systemctl daemon-reload
exec systemctl "$2" "$3"
"""
"""Its standard input ends with who started it."""


def systemctl(*words: str) -> str:
    """What systemctl says. Raises NotPossible with its own words where it fails."""
    try:
        done = subprocess.run(
            ["systemctl", *words],  # noqa: S607 - found as any administrator's shell finds it
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_PATIENCE,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NotPossible(f"systemctl {' '.join(words)}: {error}.") from error
    if done.returncode:
        raise NotPossible(f"systemctl {' '.join(words)}: {done.stderr.strip()}")
    return done.stdout


def show(unit: str, *names: str) -> dict[str, str]:
    """Properties of a unit, of systemd itself for ''; nothing where systemd does not answer."""
    wanted = [f"--property={name}" for name in names]
    try:
        said = systemctl("show", *wanted, *([unit] if unit else []))
    except NotPossible:
        return {}
    return dict(line.split("=", 1) for line in said.split("\n") if "=" in line)


def installed() -> bool:
    """True where systemd has the kit's recorder as a unit that may be started."""
    return show(RECORDER, "LoadState").get("LoadState") == "loaded"


class StandIn:
    """While it is entered, `RECORDER` starts with the settings at `config`. It is stopped when this
    is entered, and as it was found when this is left."""

    def __init__(self, config: Path) -> None:
        self._config = config
        self._minder: subprocess.Popen[bytes] | None = None
        found = show(RECORDER, "ActiveState", "ExecStart")
        self._ran = found.get("ActiveState") in ("active", "activating", "reloading")
        words = re.search(r"argv\[\]=(.*?) ;", found.get("ExecStart", ""))
        if words is None:
            raise NotPossible(f"systemd does not say what {RECORDER} starts.")
        self._command = re.sub(r"(--config[ =])\S+", rf"\g<1>{config}", words[1])
        if str(config) not in self._command:
            raise NotPossible(f"{RECORDER} is started without its settings: {words[1]}")

    def __enter__(self) -> Self:
        # First who puts everything back, then what is to be put back.
        self._minder = subprocess.Popen(
            [
                *("sh", "-c", _PUT_BACK, "minder"),
                *(str(DROP_IN), "restart" if self._ran else "stop", RECORDER),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            DROP_IN.parent.mkdir(parents=True, exist_ok=True)
            DROP_IN.write_text(f"[Service]\nExecStart=\nExecStart={self._command}\n")
            systemctl("daemon-reload")
            systemctl("stop", RECORDER)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        if self._minder is not None and self._minder.stdin is not None:
            self._minder.stdin.close()
            self._minder.wait()

    def back(self) -> str:
        """What is to be seen once it was left. Raises NotPossible if it is not as it was found."""
        state = show(RECORDER, "ActiveState").get("ActiveState", "not known")
        if DROP_IN.exists() or (state == "active") is not self._ran:
            raise NotPossible(
                f"{RECORDER} is {state} and was {'' if self._ran else 'not '}active before.",
                f"Look at it: systemctl status {RECORDER}",
            )
        return f"{RECORDER} is {state} with its own settings, as it was found"


class InstalledKit(Kit):
    """A kit whose recorder is the installed unit; its stand-in must be entered."""

    def __init__(self, config: Config, logs: Path) -> None:
        super().__init__(config, logs)
        self._restarts: str | None = None
        """How often systemd had started the recorder again; None while it is not to run."""
        self._look_again = 0.0

    def __exit__(self, *error: object) -> None:
        if self._restarts is not None:
            self.stop("recorder")
        super().__exit__(*error)

    def start(self, process: Process, *options: str) -> None:
        _only_the_recorder(process, options)
        self._restarts = ""
        systemctl("start", RECORDER)
        self._look_again = 0.0
        self._restarts = show(RECORDER, "NRestarts").get("NRestarts", "")

    def stop(self, process: Process) -> int:
        self._restarts = None
        systemctl("stop", RECORDER)
        return 0

    def pull_the_plug(self, process: Process) -> None:
        systemctl("kill", "--signal=KILL", RECORDER)
        # Or it is started again in a second.
        self.stop(process)

    def runs(self, process: Process) -> bool:
        return self._restarts is not None

    def ended(self) -> list[Process]:
        now_at = time.monotonic()
        if self._restarts is None or now_at < self._look_again:
            return []
        # To ask costs a process, and who waits asks a hundred times a second.
        self._look_again = now_at + _ASK_EVERY
        now = show(RECORDER, "ActiveState", "NRestarts")
        runs = now.get("ActiveState") == "active" and now.get("NRestarts") == self._restarts
        return [] if runs else ["recorder"]

    def last_words(self, process: Process) -> str:
        words = ("journalctl", "--no-pager", "--output=cat", "--lines=15", f"--unit={RECORDER}")
        with suppress(OSError, subprocess.SubprocessError):
            return subprocess.run(words, capture_output=True, text=True, check=False).stdout
        return ""


def _only_the_recorder(process: Process, options: Sequence[str]) -> None:
    if process != "recorder" or options:
        raise NotPossible("Only the recorder is tried as its installed unit, as it is.")
