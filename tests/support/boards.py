"""Files as a Raspberry Pi's kernel has them, below a root of a test's own."""

from pathlib import Path


def put_heat(root: Path, degrees: float, number: int = 0, name: str = "cpu_thermal") -> None:
    sensor = root / f"sys/class/hwmon/hwmon{number}"
    sensor.mkdir(parents=True, exist_ok=True)
    (sensor / "name").write_text(f"{name}\n")
    (sensor / "temp1_input").write_text(f"{degrees * 1000:.0f}\n")


def put_throttled(root: Path, bits: str) -> None:
    """`bits` in hexadecimal, as the firmware's driver writes them."""
    file = root / "sys/devices/platform/soc/soc:firmware/get_throttled"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"{bits}\n")
