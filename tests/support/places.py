"""Where the repository lies, for tests that read it or start one of its programs."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("appliance", "firmware", "web_ui")
TESTS = ROOT / "tests"
SYSTEMD = ROOT / "systemd"
