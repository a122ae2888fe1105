"""This kit: what it is, its state, its label, and switching it off safely."""

import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

import segno
from flask import Blueprint, Response, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from markupsafe import Markup

from appliance.errors import BadFile
from appliance.protocol.status import Pattern, State
from appliance.records.files import read_plain
from web_ui.answers import download
from web_ui.parts import parts
from web_ui.session.access import anyone
from web_ui.system.tls import fingerprint, next_turn
from web_ui.wording import light
from web_ui.wording.language import _
from web_ui.wording.status_line import clock_in_words, free_in_words, sent_in_words
from web_ui.wording.times import in_words

_BUSY = (State.PREVIEW, State.FILMING, State.STOPPING, State.REMOVING)
"""States in which the page does not switch the kit off."""

_ON_LABEL = (Pattern.OFF, Pattern.READY, Pattern.FILMING, Pattern.FAULT)
"""What somebody who only presses the button has to tell apart."""

pages = Blueprint("this_kit", __name__, url_prefix="/kit")


@pages.get("")
def show() -> ResponseReturnValue:
    return _page(""), 200


@pages.get("/label")
def label() -> ResponseReturnValue:
    """One sheet to print and stick to the case."""
    found = _label(parts().config.label)
    address = found.get("address") or request.host_url
    network = found.get("ssid", "")
    with _certificate() as certificate:
        now, later = fingerprint(certificate), next_turn(certificate)
    return render_template(
        "label.html",
        status=parts().recorder.status(),
        fingerprint=now,
        later=later and (in_words(later[0]), later[1]),
        name=found.get("name", ""),
        pictures={one.value: light.picture(one) for one in _ON_LABEL},
        network=network,
        key=found.get("key", ""),
        address=address,
        network_code=_code(_joining(network, found.get("key", ""))) if network else "",
        address_code=_code(address),
    )


@pages.get("/authority.crt")
@anyone
def authority() -> ResponseReturnValue:
    """The certificate that a device installs to trust this kit's page and nothing else."""
    try:
        certificate = read_plain(parts().home.keys.authority)
    except FileNotFoundError:
        return Response(_("This kit has no certificate to download.") + "\n", 404)
    return download(certificate, "attune-kit.crt", "application/x-x509-ca-cert")


@pages.post("/off")
def switch_off() -> ResponseReturnValue:
    if request.form.get("confirm") != "y":
        return _page(_("Tick the box to turn the kit off")), 400
    status = parts().recorder.status()
    if status is not None and status.state in _BUSY:
        return _page(_("The camera is in use. Stop the film first.")), 409
    parts().note("switched-off")
    parts().power_off()
    return redirect(url_for("this_kit.going"), 303)


@pages.get("/going")
def going() -> ResponseReturnValue:
    return render_template("going.html")


def _page(problem: str) -> str:
    status = parts().recorder.status()
    with _certificate() as certificate:
        now = fingerprint(certificate)
    return render_template(
        "this-kit.html",
        status=status,
        clock=clock_in_words(status) if status else "",
        free=free_in_words(status.minutes_free) if status else "",
        sent=sent_in_words(parts().home),
        service=parts().config.store.partition("?")[0].rpartition("@")[2],
        fingerprint=now,
        version=version("attune"),
        problem=problem,
        on_label=bool(_label(parts().config.label)),
    )


@contextmanager
def _certificate() -> Iterator[Path]:
    """The page's certificate, to be looked at. Raises BadFile where it cannot be read."""
    try:
        yield parts().home.keys.certificate
    except (OSError, ValueError) as error:
        raise BadFile(
            _("The page's certificate cannot be read."), _("Turn the kit off and on.")
        ) from error


def _label(path: str) -> dict[str, str]:
    """What the first start wrote: name, ssid, key, address. Empty if it wrote nothing."""
    try:
        return {key: str(text) for key, text in tomllib.loads(Path(path).read_text()).items()}
    except (OSError, ValueError):
        return {}


def _joining(network: str, key: str) -> str:
    """The text that phones read from a code to join a network."""
    for mark in '\\;,":':
        network, key = network.replace(mark, f"\\{mark}"), key.replace(mark, f"\\{mark}")
    return f"WIFI:T:WPA;S:{network};P:{key};;"


def _code(text: str) -> Markup:
    code = segno.make(text, error="m", micro=False)
    return Markup(code.svg_inline(scale=4, svgclass="app-qr", omitsize=False))  # noqa: S704
