"""Only the pinned certificate counts: a network's name proves nothing, and neither do the hundred
authorities that every computer trusts."""

import os
import socket
import ssl

from appliance.errors import BadFile, NotReached, WrongStore, WrongTime

_NOT_YET, _RUN_OUT = 9, 10
"""X509_V_ERR_CERT_NOT_YET_VALID and X509_V_ERR_CERT_HAS_EXPIRED of OpenSSL's x509_vfy.h."""


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


def knock(host: str, port: int, context: ssl.SSLContext, patience: float) -> None:
    """See who answers, and tell them nothing. Raises WrongStore or NotReached."""
    try:
        with (
            socket.create_connection((host, port), timeout=patience) as wire,
            context.wrap_socket(wire, server_hostname=host),
        ):
            return
    except ssl.SSLError as error:
        raise not_the_store(host, error=error) from error
    except OSError as error:
        raise not_reached(host) from error


def not_the_store(
    host: str, known: str = "certificate", error: Exception | None = None
) -> WrongStore | WrongTime:
    """What it means that who answered at `host` could not show what is `known` of the store."""
    # OpenSSL looks at the dates last: who signed it was right.
    code = getattr(error, "verify_code", 0)
    if code in (_NOT_YET, _RUN_OUT):
        when = "is not valid yet" if code == _NOT_YET else "has run out"
        return WrongTime(
            f"The certificate of the service's store at {host} {when}, by this computer's clock. "
            "Nothing was sent.",
            "Is the date right here? If it is, tell your service: its store needs a new "
            "certificate.",
        )
    return WrongStore(
        f"Something else than your service's store answered at {host}: it does not have the "
        f"{known} that this kit knows. Nothing was sent.",
        "Are you in the right network? If it has a page to sign in to, sign in there first, or "
        "use another network. If it stays so, tell your service.",
    )


def not_reached(host: str) -> NotReached:
    return NotReached(
        f"The service's store at {host} does not answer.",
        "Nothing is lost; it is tried again. Is the kit connected to the network?",
    )
