"""The page's certificate: made by the kit itself at its first start.

Leaves for this kit's names, signed by the kit's own authority. The authority is constrained to
those names and its key is thrown away at once, so a device that trusts it (tablets ask for one)
trusts these leaves and nothing else. Others compare the fingerprint.

iPads and iPhones take no leaf that is good for more than 825 days, whoever signed it
(https://support.apple.com/en-us/103769), so the leaves of twenty years are signed at once, each
good for twice as long as it is used. The one whose turn it is by the latest time that the kit was
sure of is put in at each start: a clock that wakes in the wrong year chooses nothing.
"""

import ipaddress
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from appliance.errors import BadFile
from appliance.records.clock import EARLIEST, Mark, SystemClock
from appliance.records.files import KeysFolder, load_fact, read_plain, save, sync_directory

_AUTHORITY = "Attune kit authority"
_TURN = timedelta(days=400)
_LIFE = timedelta(days=824)
"""A day less than is allowed: both the first and the last second count."""
_TURNS = 19
_ALWAYS = ("localhost", "attune.local", "127.0.0.1", "::1")
_EVERYWHERE = ("0.0.0.0", "::")  # noqa: S104 - told apart here, not listened at
_USES = (
    "digital_signature", "content_commitment", "key_encipherment", "data_encipherment",
    "key_agreement", "key_cert_sign", "crl_sign", "encipher_only", "decipher_only",
)  # fmt: skip


def ensure_certificate(
    keys: Path, names: Iterable[str], sure: datetime | None = None
) -> tuple[Path, Path]:
    """The paths of certificate and key in `keys`. Makes both if one is missing or damaged, or if
    the kit made them for other names; puts in the leaf whose turn it is at `sure`, the latest time
    that the kit was sure of (without one, what this machine's clock says).

    P-256, for localhost, attune.local, the loopback addresses and `names`: host names and
    addresses. The key is 0600 and in PKCS #8, which the server asks for. RFC 5280, 4.2.1.10.
    Raises BadFile where somebody put two there that do not belong together.
    """
    place = KeysFolder(keys)
    certificate, key_file = place.certificate, place.certificate_key
    named = [_name(text) for text in dict.fromkeys((*_ALWAYS, *names)) if text not in _EVERYWHERE]
    at = sure or SystemClock().read().wall
    if certificate.exists() and key_file.exists():
        whole = _are_whole(certificate, key_file) and _speaks_for(certificate, named)
        if whole and _put_in(place, at):
            return certificate, key_file
        # Damaged, or for other names. The certificate goes first: a power cut must not leave it
        # beside a new key.
        certificate.unlink()
        sync_directory(keys)
    authority_key = ec.generate_private_key(ec.SECP256R1())
    authority = _authority(authority_key, named)
    key = ec.generate_private_key(ec.SECP256R1())
    leaves = [_leaf(key, named, turn, authority, authority_key) for turn in range(_TURNS)]
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    save(place.authority, _pem(authority))
    save(key_file, private, mode=0o600)
    save(place.certificates, _pem(*leaves, authority))
    save(certificate, _pem(_in_turn(leaves, at), authority))
    return certificate, key_file


def sure_of(mark: Path) -> datetime | None:
    """The latest time that the kit was sure of; None where none is known."""
    try:
        known = load_fact(mark, Mark)
    except (OSError, BadFile):
        return None  # The recorder says what is wrong with its file, and films nothing.
    return known.highest if known else None


def next_turn(certificate: Path) -> tuple[datetime, str] | None:
    """When the page's certificate changes by itself, and the fingerprint of the next; None where
    the service put in its own, or it is the last."""
    place = KeysFolder(certificate.parent)
    now, (leaves, _) = _read(certificate), _all(place)
    later = [leaf for leaf in leaves if leaf.not_valid_before_utc > now.not_valid_before_utc]
    if not later or now.public_key() != later[0].public_key():
        return None
    return later[0].not_valid_before_utc, _fingerprint(later[0])


def _put_in(place: KeysFolder, at: datetime) -> bool:
    """Put in the leaf whose turn it is; False if there should be some and are none."""
    now = _read(place.certificate)
    if now.issuer != _called(_AUTHORITY) or _is_old(now):
        return True
    leaves, authority = _all(place)
    if now not in leaves:
        return False
    turn = _in_turn(leaves, at)
    if turn != now:
        save(place.certificate, _pem(turn, *authority))
    return True


def _is_old(leaf: x509.Certificate) -> bool:
    """True for the one leaf of ten years that the kit made once. People compared its fingerprint:
    it is not changed behind their backs, but `attune doctor` names it."""
    return leaf.not_valid_after_utc - leaf.not_valid_before_utc > _LIFE


def _in_turn(leaves: Sequence[x509.Certificate], at: datetime) -> x509.Certificate:
    """The last that is good already, the first before any is."""
    begun = [leaf for leaf in leaves if leaf.not_valid_before_utc <= at]
    return begun[-1] if begun else leaves[0]


def _all(place: KeysFolder) -> tuple[list[x509.Certificate], list[x509.Certificate]]:
    """Each leaf in its order, and their authority; none of them if they are gone or damaged."""
    try:
        every = x509.load_pem_x509_certificates(read_plain(place.certificates))
    except (OSError, ValueError, BadFile):
        every = []
    return every[:-1], every[-1:]


def _read(certificate: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(read_plain(certificate))


def _are_whole(certificate: Path, key_file: Path) -> bool:
    try:
        leaf = _read(certificate)
        key = serialization.load_pem_private_key(read_plain(key_file), None)
    except (ValueError, TypeError):
        return False
    if leaf.public_key() != key.public_key():
        raise BadFile(
            "The page's certificate and its key do not belong together.",
            "Put both of the same pair into keys/, or remove both: the kit then makes new ones, "
            "and its label must be printed again.",
        )
    return True


def _speaks_for(certificate: Path, named: list[x509.GeneralName]) -> bool:
    """True if it has all these names, or somebody else made it."""
    leaf = _read(certificate)
    if leaf.issuer != _called(_AUTHORITY):
        return True
    has = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return set(named) <= set(has)


def fingerprint(certificate: Path) -> str:
    """SHA-256 of the leaf, as browsers show it: pairs of hexadecimal digits."""
    return _fingerprint(_read(certificate))


def _fingerprint(leaf: x509.Certificate) -> str:
    return leaf.fingerprint(hashes.SHA256()).hex(":").upper()


def _pem(*certificates: x509.Certificate) -> bytes:
    return b"".join(one.public_bytes(serialization.Encoding.PEM) for one in certificates)


def _name(text: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        return x509.DNSName(text)


def _constraint(name: x509.GeneralName) -> x509.GeneralName:
    """A name constraint has networks instead of addresses: here a network of one address."""
    if isinstance(name, x509.IPAddress):
        return x509.IPAddress(ipaddress.ip_network(str(name.value)))
    return name


def _authority(key: ec.EllipticCurvePrivateKey, names: list[x509.GeneralName]) -> x509.Certificate:
    constraints = x509.NameConstraints([_constraint(name) for name in names], None)
    return (
        _builder(_AUTHORITY, key.public_key(), EARLIEST, EARLIEST + _TURNS * _TURN + _LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(constraints, critical=True)
        .add_extension(_usage("key_cert_sign"), critical=True)
        .sign(key, hashes.SHA256())
    )


def _leaf(
    key: ec.EllipticCurvePrivateKey,
    names: list[x509.GeneralName],
    turn: int,
    authority: x509.Certificate,
    authority_key: ec.EllipticCurvePrivateKey,
) -> x509.Certificate:
    issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key())
    first = EARLIEST + turn * _TURN
    return (
        _builder("Attune kit", key.public_key(), first, first + _LIFE)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(issuer, critical=False)
        .add_extension(_usage("digital_signature"), critical=True)
        .sign(authority_key, hashes.SHA256())
    )


def _called(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _builder(
    subject: str, public: ec.EllipticCurvePublicKey, first: datetime, last: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(_called(subject))
        .issuer_name(_called(_AUTHORITY))
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(first)
        .not_valid_after(last)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
    )


def _usage(allowed: str) -> x509.KeyUsage:
    return x509.KeyUsage(**{use: use == allowed for use in _USES})
