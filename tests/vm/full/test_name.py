"""A card that Raspberry Pi's imager wrote, with a name for the machine: Debian's cloud-init, as
Raspberry Pi OS has it, with what the imager says to it."""

import tomllib
from collections.abc import Iterator

import pytest

from tests.vm.machine import Machine

OURS, ASIDE = "/etc/cloud/cloud.cfg.d/99-attune.cfg", "/root/99-attune.cfg"
SAID = {
    "/etc/cloud/cloud.cfg.d/50-where.cfg": "datasource_list: [NoCloud]",
    "/var/lib/cloud/seed/nocloud/meta-data": "instance-id: rpi-imager",
    "/var/lib/cloud/seed/nocloud/user-data": (
        "#cloud-config\\nhostname: raspberrypi\\nmanage_etc_hosts: true"
    ),
}


@pytest.fixture(scope="module", autouse=True)
def imager(kit: Machine) -> None:
    kit.run("mkdir", "-p", "/var/lib/cloud/seed/nocloud")
    for path, words in SAID.items():
        kit.run("sh", "-c", f"printf '{words}\\n' >{path}")


@pytest.fixture
def without_our_word(kit: Machine) -> Iterator[None]:
    kit.run("mv", OURS, ASIDE)
    yield
    kit.run("mv", ASIDE, OURS)


def names_after_a_start(kit: Machine) -> set[str]:
    """What the machine is called, now and after its next start, once cloud-init has run."""
    for stage in (["init", "--local"], ["init"]):
        kit.run("cloud-init", *stage)
    kit.run("sh", "-c", "rm -rf /run/cloud-init")
    return {kit.run("hostname").strip(), kit.run("cat", "/etc/hostname").strip()}


def test_a_kit_keeps_the_name_that_is_on_its_label(kit: Machine) -> None:
    label = tomllib.loads(kit.run("cat", "/etc/attune/label.toml"))
    for _ in range(2):
        assert names_after_a_start(kit) == {label["name"]}


def test_without_our_word_it_would_get_the_imagers(kit: Machine, without_our_word: None) -> None:
    assert names_after_a_start(kit) == {"raspberrypi"}
