"""The image for many kits, held against the package that it carries.

That rpi-image-gen takes its layers is seen by `tools/lint-image`, which needs a checkout of it; the
image itself was never built here.
"""

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.support.places import ROOT, SYSTEMD

IMAGE = SYSTEMD / "image"
CARD = IMAGE / "image/kit-card"
OVERLAY = IMAGE / "rootfs-overlay"
GROW = OVERLAY / "usr/lib/systemd/system/grow-data.service"
SECRET = re.compile(r"\$[0-9a-z]+\$[./0-9A-Za-z]{4}|psk|BEGIN .*KEY|user1pass(?:hash)?:")
SIZES = {"BOOT": "512M", "ROOT": "6G", "DATA": "512M"}


def packages(layer: Path) -> set[str]:
    _, _, body = layer.read_text().partition("\n---\n")
    return set(re.findall(r"^    - (\S+)$", body, re.MULTILINE))


def needed() -> set[str]:
    """What the package depends on and recommends, and the wheels that it leaves to the system."""
    control = (SYSTEMD / "debian/attune-kit.control").read_text()
    lines = re.findall(r"^(?:Depends|Recommends): (.*)$", control, re.MULTILINE)
    assert len(lines) == 2
    named = {re.split(r"[ @(|]", item.strip())[0] for line in lines for item in line.split(",")}
    return named | set(re.findall(r"python3-\w+", (ROOT / "tools/package").read_text()))


def named(layer: Path, field: str) -> set[str]:
    """What the head of a layer says under a name, its lines put together."""
    head = layer.read_text().partition("# METAEND")[0]
    found = re.search(rf"^# X-Env-{field}: (.*(?:\n#  .*)*)", head, re.MULTILINE)
    assert found
    return {item.strip("\n# ") for item in found[1].split(",")}


def made(tmp_path: Path, pi: str) -> tuple[Path, str]:
    """The system and the recipe that the last step of a build leaves, from a system like Raspberry
    Pi's."""
    system, output = tmp_path / "system", tmp_path / "output"
    for folder in (system / "boot/firmware", system / "etc/attune", output):
        folder.mkdir(parents=True)
    (system / "var/lib/attune/kit").mkdir(parents=True)
    (system / "boot/firmware/cmdline.txt").write_text("console=tty1 root=ROOTDEV rootwait\n")
    (system / "boot/firmware/config.txt").write_text(
        "camera_auto_detect=1\ndtoverlay=vc4-kms-v3d\n[pi4]\nenable_uart=1\n"
    )
    finish(system, output, pi)
    return system, (output / "genimage.cfg").read_text()


def finish(system: Path, output: Path, pi: str = "pi5") -> None:
    sizes = {f"IGconf_image_{part.lower()}_part_size": size for part, size in SIZES.items()}
    subprocess.run(
        [CARD / "pre-image.sh", system, output],
        check=True,
        stderr=subprocess.PIPE,
        env={
            **os.environ,
            **sizes,
            "IGconf_device_class": pi,
            "IGconf_image_name": "kit",
            "IGconf_image_suffix": "img",
        },
    )


def test_the_image_has_all_that_the_package_needs_and_recommends_and_no_scene() -> None:
    """The layers below tell apt to leave recommended packages out."""
    layer = IMAGE / "layer/attune-kit.yaml"
    by_its_layers = {
        name.replace("systemd-min", "systemd") for name in named(layer, "Layer-Requires")
    }
    assert needed() <= packages(layer) | by_its_layers
    # Recommended by those in turn: a hotspot, its addresses, sticks and switching off hang on them.
    assert {"wpasupplicant", "dnsmasq-base", "polkitd"} <= packages(layer)
    assert not [path for path in IMAGE.rglob("*.yaml") if "attune-kit-scene" in path.read_text()]


def test_nobody_but_network_manager_has_the_radio_and_it_has_a_country() -> None:
    required = named(IMAGE / "layer/attune-kit.yaml", "Layer-Requires")
    assert {"network-manager", "wireless-regulatory"} <= required
    assert not required & {"trixie-minbase", "systemd-net-min", "iwd", "openssh-server"}
    assert re.search(r"^ieee80211:\n  regdom: GB$", (IMAGE / "config/kit.yaml").read_text(), re.M)


def test_each_configuration_names_layers_that_are_there_and_the_package_of_this_version() -> None:
    common = (IMAGE / "config/kit.yaml").read_text()
    layers = [IMAGE / "layer/attune-kit.yaml", CARD / "image.yaml"]
    ours = {name for layer in layers for name in named(layer, "Layer-Name")}
    assert set(re.findall(r"^  (?:layer|base): (\S+)$", common, re.MULTILINE)) == ours
    version = re.search(r'^version = "(.*)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert version
    assert f"  attune: ../../build/attune-kit_{version[1]}_arm64.deb\n" in common
    guide = (ROOT / "docs/installing.md").read_text()
    assert f"attune-kit_{version[1]}_arm64.deb" in guide, "installed by hand under the same name"
    for pi, layer in {"pi4": "rpi4", "pi5": "rpi5", "zero2w": "rpizero2w"}.items():
        config = (IMAGE / f"config/kit-{pi}.yaml").read_text()
        assert config == f"include:\n  file: kit.yaml\n\ndevice:\n  layer: {layer}\n"


def test_each_line_of_the_layers_and_configurations_is_plain_yaml() -> None:
    """Of YAML they use a list of words below names, no more: rpi-image-gen reads it all."""
    line = re.compile(r"|#.*|---|(?:  )*(?:- )?[\w./:+-]+|(?:  )*\w+:(?: [\w./() -]+)?|(?:  )*# .*")
    for path in IMAGE.rglob("*.yaml"):
        assert not [found for found in path.read_text().split("\n") if not line.fullmatch(found)]


def test_what_it_is_built_with_is_what_it_was_linted_with() -> None:
    pinned = re.search(r"^pinned=([0-9a-f]{40})\b", (ROOT / "tools/lint-image").read_text(), re.M)
    assert pinned and f"checkout {pinned[1]}" in (ROOT / "docs/installing.md").read_text()


def test_no_file_of_the_image_holds_a_secret_and_it_is_not_built_without_a_passphrase() -> None:
    files = [path for path in IMAGE.rglob("*") if path.is_file()]
    assert len(files) >= 9
    for path in files:
        text = path.read_text()
        assert not re.search(r"\$[0-9a-z]+\$[./0-9A-Za-z]{4}|psk|BEGIN .*KEY|user1pass:", text), (
            path
        )
    head = (IMAGE / "layer/attune-kit.yaml").read_text()
    assert "# X-Env-VarRequires: IGconf_device_user1passhash\n" in head


@pytest.mark.parametrize("pi", ["pi4", "pi5", "zero2w"])
def test_the_card_starts_from_its_own_partitions_without_bluetooth(pi: str, tmp_path: Path) -> None:
    system, recipe = made(tmp_path, pi)
    number = re.search(r'disk-signature = "0x([0-9a-f]{8})"', recipe)
    assert number
    line = (system / "boot/firmware/cmdline.txt").read_text()
    assert line == f"console=tty1 root=PARTUUID={number[1]}-02 rootwait init_on_free=1\n"
    config = (system / "boot/firmware/config.txt").read_text()
    assert config.rpartition("[all]\n")[2].splitlines()[-1] == "dtoverlay=disable-bt"
    assert ("dtoverlay=vc4-kms-v3d,cma-128\n" in config) == (pi == "zero2w")
    for part in ("boot", "root", "data"):
        assert f"\tpartition {part} {{" in recipe
    assert re.findall(r"^\tsize = (\S+)$", recipe, re.MULTILINE) == list(SIZES.values())


def test_films_lie_on_a_partition_of_their_own_that_grows_and_runs_nothing(tmp_path: Path) -> None:
    system, recipe = made(tmp_path, "pi5")
    lines = [line.split() for line in (system / "etc/fstab").read_text().splitlines()]
    ((source, _, kind, options, _, check),) = [one for one in lines if one[1] == "/var/lib/attune"]
    assert source.startswith("PARTUUID=") and source.endswith("-03")
    assert (kind, check) == ("ext4", "2")
    by_hand = re.search(r"LABEL=attune /var/lib/attune ext4 (\S+) 0 2", guide())
    assert by_hand, "a card that is prepared by hand is mounted alike"
    assert set(options.split(",")) == {*by_hand[1].split(","), "x-systemd.growfs"}
    assert 'label = "attune"' in recipe and 'mountpoint = "/var/lib/attune"' in recipe


def guide() -> str:
    return (ROOT / "docs/installing.md").read_text()


@pytest.mark.parametrize("made_once", ["etc/attune/attune.toml", "var/lib/attune/keys/tls.key"])
def test_a_name_or_a_key_that_was_made_once_is_not_copied_to_every_kit(
    made_once: str, tmp_path: Path
) -> None:
    system, _ = made(tmp_path, "pi5")
    (system / made_once).parent.mkdir(parents=True, exist_ok=True)
    (system / made_once).write_text("made\n")
    with pytest.raises(subprocess.CalledProcessError) as refused:
        finish(system, tmp_path / "output")
    assert made_once in refused.value.stderr.decode()


def test_the_partition_grows_before_its_file_system_does_and_a_kit_starts_without() -> None:
    unit = GROW.read_text()
    assert "After=var-lib-attune.mount\n" in unit
    assert re.search(r"^Before=systemd-growfs@var-lib-attune\.service ", unit, re.MULTILINE)
    # Wanted, not required: where it fails, the partition is mounted as it is.
    wanted = OVERLAY / "etc/systemd/system/var-lib-attune.mount.wants/grow-data.service"
    assert wanted.is_symlink() and OVERLAY / str(wanted.readlink()).lstrip("/") == GROW
    program = re.search(r"^ExecStart=/(\S+)$", unit, re.MULTILINE)
    assert program and os.access(OVERLAY / program[1], os.X_OK)
    # It may not be taken for a unit of the package's, which knows nothing of it.
    assert not list(SYSTEMD.glob("grow-data.*"))
    assert {"cloud-guest-utils", "fdisk"} <= packages(CARD / "image.yaml")


def test_the_films_partition_takes_the_rest_of_a_larger_card_once(tmp_path: Path) -> None:
    card = tmp_path / "card.img"
    with card.open("wb") as file:
        file.truncate(64 << 20)
    table = "label: dos\n,8M,c\n,8M,83\n,8M,83\n"
    subprocess.run(["/usr/sbin/sfdisk", "--quiet", card], input=table, text=True, check=True)
    grow = [OVERLAY / "usr/lib/attune/grow-data", card, "3"]
    for said in ("CHANGED", "NOCHANGE"):
        done = subprocess.run(grow, check=True, stdout=subprocess.PIPE, text=True)
        assert done.stdout.startswith(f"{said}:")
    shown = subprocess.run(
        ["/usr/sbin/sfdisk", "--dump", card], check=True, stdout=subprocess.PIPE, text=True
    )
    sizes = [int(size) >> 11 for size in re.findall(r"size= *([0-9]+)", shown.stdout)]
    assert sizes[:2] == [8, 8] and sizes[2] >= 46
