"""Only the pinned certificate counts: a network's name proves nothing, and neither do the hundred
authorities that every computer trusts."""

import os
import socket
import ssl

from appliance.errors import BadFile
from appliance.stores.answers import not_reached, not_the_store
from appliance.stores.endings import Ending, of_certificate, of_pin


def pinned(pin: str) -> ssl.SSLContext:
    """TLS that believes the pinned certificate alone: an authority's, one between it and the
    store's, or the store's own.

    Raises BadFile if the pin is no certificate. From then on obstore, in this process, believes
    nothing else either: it adds what it is given to the system's authorities, so those are hidden
    from it.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # The authority in the middle, which `openssl s_client -showcerts` shows, is enough.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    try:
        context.load_verify_locations(cadata=pin)
    except ssl.SSLError as error:
        raise BadFile(
            "The pin in the access file is no certificate.",
            "It is text that begins with -----BEGIN CERTIFICATE-----.",
        ) from error
    os.environ["SSL_CERT_FILE"] = os.devnull
    os.environ["SSL_CERT_DIR"] = os.devnull
    return context


def knock(host: str, port: int, context: ssl.SSLContext, patience: float) -> tuple[Ending, ...]:
    """See who answers, and tell them nothing; returns when the pin and the store's certificate end.
    Raises WrongStore, WrongTime or NotReached."""
    try:
        with (
            socket.create_connection((host, port), timeout=patience) as wire,
            context.wrap_socket(wire, server_hostname=host) as spoken,
        ):
            return (*of_pin(context), *of_certificate(spoken.getpeercert()))
    except ssl.SSLError as error:
        raise not_the_store(host, error=error) from error
    except OSError as error:
        raise not_reached(host) from error
