"""A kit on this computer to try out: a scene as camera, button and light on the page.

Everything is real but the hardware and the people: the three processes of a kit, the service's
program beside its folder, and keys made for this one time.
"""

import sys
import time
from collections.abc import Callable
from pathlib import Path

from appliance.errors import NotPossible
from appliance.records.files import save, to_json
from appliance.selftest.kit import Kit, is_taken, scene_config, spawn
from appliance.vault.keys import PrivateKeys, lock
from appliance.vault.passphrases import make_passphrase


def demonstrate(
    root: Path, film: Path | None, drawn: str, port: int, say: Callable[[str], None]
) -> None:
    """Run a kit below `root` until KeyboardInterrupt; then nothing of it runs any more.

    `film` is the scene (None: what is `drawn`, the family or '' for the test card), `port` the
    page's (0: a free one). Raises NotPossible if the port is taken or one of the processes ends by
    itself.
    """
    if port and is_taken(port):
        raise NotPossible(
            f"Port {port} of this computer is taken, perhaps by a demonstration that still runs.",
            "End that one with Ctrl-C; or: attune demo --port 0, which takes a free one.",
        )
    store, keys = root / "service-folder", root / "service-keys"
    store.mkdir(parents=True)
    (keys / "practitioners").mkdir(mode=0o700, parents=True)
    service, practitioner = PrivateKeys.generate("service"), PrivateKeys.generate("practitioner")
    passphrase = make_passphrase()
    save(keys / "service.key", service.text().encode(), mode=0o600)
    save(keys / "practitioners" / "demonstration.pub", to_json(practitioner.card()))
    with Kit(scene_config(root, film, store, port, drawn=drawn), root / "logs") as kit:
        say("Starting the recorder and the page ...")
        kit.start("recorder")
        kit.start("web")
        kit.recorder_shows("the recorder idle", lambda s: s.state == "idle", 30)
        page = kit.page()
        say("Setting the kit up ...")
        kit.set_up(
            page, to_json(service.card()).decode(), lock(practitioner, passphrase), passphrase
        )
        kit.start("sync")
        words = [sys.executable, "-m", "appliance.base", store.as_uri(), "-i", str(keys), "--new"]
        with spawn(words, root / "logs" / "base.log") as service_side:
            say(
                "\n"
                f"  The page                 {page.address}\n"
                "                           Your browser does not know the certificate that the\n"
                "                           kit made for itself and says so: go on.\n"
                f"  Passphrase               {passphrase}\n"
                f"  The service's folder     {store}\n"
                f"  What the processes say   {root / 'logs'}\n"
                "\n"
                "The camera is a scene; button and light are on the page, as a virtual kit.\n"
                "Ctrl-C stops everything.\n"
            )
            try:
                while not (ended := kit.ended()):
                    time.sleep(0.5)
                raise NotPossible(
                    f"The {ended[0]} ended by itself.", f"It said: {kit.last_words(ended[0])}"
                )
            finally:
                service_side.terminate()
