"""What an engine's answer means for sending, whichever engine it is: the one place where what lasts
is told apart from what passes.

What passes is a SendInterrupted: the next try may go well. What lasts is a SendRefused: somebody
has to do something first. What nobody foresaw passes, unless the engine says that the fault lies
with what it was asked. An engine's own words are never repeated: they can carry a credential.
"""

import re

from appliance.errors import (
    AccessEnded,
    NotLetIn,
    NotReached,
    NotSupported,
    PortalPage,
    SendFailed,
    SendInterrupted,
    SendRefused,
    StoreFull,
    StoreMissing,
    TooLarge,
    WrongClock,
    WrongPlace,
    WrongStore,
    WrongTime,
)

_CODE = re.compile(r"<Code>\s*(\w{1,64})\s*</Code>")
_CLOCK = {"RequestTimeTooSkewed", "RequestExpired", "RequestNotYetValid", "RequestInTheFuture"}
_FULL = {
    "InsufficientStorage",
    "QuotaExceeded",
    "XMinioAdminBucketQuotaExceeded",
    "XMinioStorageFull",
}
_LARGE = {"EntityTooLarge", "RequestBodyTooLarge", "MaxMessageLengthExceeded"}
_ENDED = {"ExpiredToken", "TokenExpired", "ExpiredTokenException", "XMinioAccountExpired"}
_PLACE = {
    "AuthorizationHeaderMalformed",
    "IllegalLocationConstraintException",
    "InvalidBucketName",
    "InvalidRegion",
    "InvalidResourceName",
    "InvalidUri",
    "PermanentRedirect",
}
_MISSING = {"NoSuchBucket", "ContainerNotFound", "ResourceNotFound"}
_PASSES = {
    # What arrived is not what was sent.
    "BadDigest",
    "ContentSHA256Mismatch",
    "IncompleteBody",
    "Md5Mismatch",
    "RequestTimeout",
    "XAmzContentChecksumMismatch",
    "XAmzContentSHA256Mismatch",
}
_PASSING = (408, 409, 412, 421, 425, 429)
_ENDED_WORDS = "not valid in the specified time frame"
"""Azure has one code for each credential that it does not take, and says this if it ended."""
_REGION = "incorrectly configured region"
"""What obstore makes of a redirect to nowhere."""
_NOT_YET, _RUN_OUT, _OTHER_HOST, _OTHER_ADDRESS = 9, 10, 62, 64
"""X509_V_ERR_CERT_NOT_YET_VALID, _CERT_HAS_EXPIRED, _HOSTNAME_MISMATCH and _IP_ADDRESS_MISMATCH of
OpenSSL's x509_vfy.h."""
_NO_TLS = ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "PACKET_LENGTH_TOO_LONG", "UNKNOWN_PROTOCOL")
"""What OpenSSL calls an answer that is not TLS at all."""


def meaning(host: str, status: int, said: str) -> SendFailed:
    """What the answer of an engine at `host` means that did not do what it was asked: its HTTP
    status (0 where there was none) and its body or what was made of it."""
    found = _CODE.search(said)
    code = found[1] if found else ""
    if code in _CLOCK:
        return wrong_clock(host)
    if status == 507 or code in _FULL:
        return full(host)
    if status == 413 or code in _LARGE:
        return too_large(host)
    if code in _ENDED or _ENDED_WORDS in said:
        return access_ended(host)
    if code in _PLACE or _REGION in said:
        return wrong_place(host)
    if status == 511:
        return portal_page(host)
    if code in _PASSES or status in _PASSING:
        return interrupted(host)
    if status == 404 or code in _MISSING:
        return missing(host)
    if status in (401, 403):
        return not_let_in(host)
    if status in (405, 501):
        return not_supported(host)
    if 400 <= status < 500:
        return SendRefused(
            "The store at %(host)s refuses what it is asked (%(status)s).",
            "It will not be otherwise with the next try: tell your service.",
            host=host,
            status=status,
        )
    return interrupted(host)


def names_no_store(said: str) -> bool:
    """True if an engine says that the whole bucket or container is not there, not one object."""
    found = _CODE.search(said)
    return found is not None and found[1] in _MISSING


def not_the_store(
    host: str, known: str = "certificate", error: Exception | None = None
) -> WrongStore | WrongTime:
    """What it means that who answered at `host` could not show what is `known` of the store."""
    if getattr(error, "reason", None) in _NO_TLS:
        return portal_page(host)
    # OpenSSL looks at the dates and the host last: who signed it was right.
    code = getattr(error, "verify_code", 0)
    if code == _NOT_YET:
        return WrongTime(
            "The certificate of the service's store at %(host)s is not valid yet, by this "
            "computer's clock. Nothing was sent.",
            "The clock here is most likely behind: set it. If it is right, tell your service.",
            host=host,
        )
    if code == _RUN_OUT:
        return WrongTime(
            "The certificate of the service's store at %(host)s has run out, by this computer's "
            "clock. Nothing was sent.",
            "Is the date right here? If it is, tell your service: its store needs a new "
            "certificate.",
            host=host,
        )
    if code in (_OTHER_HOST, _OTHER_ADDRESS):
        return WrongStore(
            "What answered at %(host)s has a certificate from the right authority, for a host of "
            "another name. Nothing was sent.",
            "Ask your service for the right address of its store.",
            host=host,
        )
    return WrongStore(
        "Something else than your service's store answered at %(host)s: it does not have the "
        "%(known)s that this kit knows. Nothing was sent.",
        "Are you in the right network? If it has a page to sign in to, sign in there first, or "
        "use another network. If it stays so, tell your service.",
        host=host,
        known=known,
    )


def portal_page(host: str) -> PortalPage:
    return PortalPage(
        "A page to sign in to answered at %(host)s instead of your service's store. Nothing was "
        "sent.",
        "Sign in to this network first, or use another one.",
        host=host,
    )


def not_reached(host: str) -> NotReached:
    return NotReached(
        "The service's store at %(host)s does not answer.",
        "Nothing is lost; it is tried again. Is the kit connected to the network?",
        host=host,
    )


def interrupted(host: str) -> SendInterrupted:
    return SendInterrupted(
        "Sending to the store at %(host)s was interrupted.",
        "Nothing is lost; what is missing goes with the next try.",
        host=host,
    )


def wrong_clock(host: str) -> WrongClock:
    return WrongClock(
        "The store at %(host)s says that the clock is wrong here, and refuses what is sent.",
        "Set the time on the page, or connect the kit to a network that tells the time.",
        host=host,
    )


def full(where: str) -> StoreFull:
    return StoreFull(
        "The service's store at %(where)s is full.",
        "Ask the service to make room, then send again. Nothing was removed here.",
        where=where,
    )


def too_large(where: str) -> TooLarge:
    return TooLarge(
        "The store at %(where)s does not take a file as large as this one.",
        "Tell your service: its store, or what stands before it, has too low a limit.",
        where=where,
    )


def access_ended(host: str) -> AccessEnded:
    return AccessEnded(
        "The access to the store at %(host)s has run out.",
        "Ask your service for a new access file for this kit.",
        host=host,
    )


def not_let_in(host: str) -> NotLetIn:
    return NotLetIn(
        "The store at %(host)s does not let this kit in, or not do this.",
        "Ask your service for a new access file for this kit.",
        host=host,
    )


def wrong_place(host: str) -> WrongPlace:
    return WrongPlace(
        "The store at %(host)s does not have this bucket under this name, or not in this region.",
        "Ask your service for the right address of its store: bucket and region.",
        host=host,
    )


def missing(host: str) -> StoreMissing:
    return StoreMissing(
        "At %(host)s there is no such store as this kit was told of.",
        "Ask your service for the right address of its store.",
        host=host,
    )


def not_supported(host: str) -> NotSupported:
    return NotSupported(
        "The store at %(host)s cannot do what is needed of it.",
        "Tell your service: its engine is of a kind or an age that docs/stores.md does not name.",
        host=host,
    )
