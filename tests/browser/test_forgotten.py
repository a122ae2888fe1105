"""A forgotten passphrase in a real browser, with and without scripts, at every width."""

from pathlib import Path

import pytest
from playwright.sync_api import Browser

from appliance.protocol.enrolment import Enrolled
from appliance.protocol.requests import Enrol
from appliance.records.files import save_fact
from tests.browser.test_pages import seated, served
from tests.support.pages import WebKit
from web_ui.system.tls import ensure_certificate


@pytest.mark.parametrize("scripts", [True, False])
def test_a_new_card_is_made_and_its_owner_led_on(
    chromium: Browser, tmp_path: Path, scripts: bool
) -> None:
    with WebKit(tmp_path / "kit") as kit:
        ensure_certificate(kit.home.keys, ())
        kit.unlock()
        kit.browser.submit("/cases", action="/lock")
        with (
            served(kit) as address,
            seated(chromium, kit, address, scripts, scripts) as visitor,
        ):
            visitor.go("/unlock")
            visitor.follow("I have forgotten my passphrase")
            visitor.look(f"forgotten-{scripts}")
            visitor.press("Make a new ID file")
            visitor.sees("These are your new words")
            visitor.look(f"forgotten-words-{scripts}")
            visitor.press("I have written down my 6 words")
            visitor.sees("Press the button on the kit within 60 seconds")
            kit.recorder.show(state="presence", light="presence")
            if scripts:
                visitor.sees("Press the button on the kit to confirm")
            asked = next(r for r in kit.recorder.requests() if isinstance(r, Enrol))
            before = kit.parts.enrolled
            assert before
            both = (*before.practitioners, asked.practitioner)
            enrolled = Enrolled(service=before.service, practitioners=both)
            save_fact(kit.home.kit / "enrolled.json", enrolled)
            kit.recorder.show(state="idle", light="off", answers={asked.id: "done"})
            visitor.page.wait_for_url("**/forgotten")
            visitor.sees("It is waiting for your service")
            visitor.look(f"forgotten-waiting-{scripts}")
            assert (
                visitor.save("download ID file").suggested_filename
                == f"{asked.practitioner.name}.pub"
            )
