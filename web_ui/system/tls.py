"""The page's certificate: made by the kit itself at its first start.

A leaf for this kit's names, signed by the kit's own authority. The authority is constrained to
those names and its key is thrown away at once, so a device that trusts it (tablets ask for one)
trusts this leaf and nothing else. Others compare the fingerprint. Its validity does not depend on
the clock, which may wake in the wrong year.
"""

import ipaddress
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from appliance.errors import BadFile
from appliance.records.clock import EARLIEST
from appliance.records.files import KeysFolder, read_plain, save, sync_directory

_AUTHORITY = "Attune kit authority"
_LIFE = timedelta(days=3650)
_ALWAYS = ("localhost", "attune.local", "127.0.0.1", "::1")
_EVERYWHERE = ("0.0.0.0", "::")  # noqa: S104 - told apart here, not listened at
_USES = (
    "digital_signature", "content_commitment", "key_encipherment", "data_encipherment",
    "key_agreement", "key_cert_sign", "crl_sign", "encipher_only", "decipher_only",
)  # fmt: skip


def ensure_certificate(keys: Path, names: Iterable[str]) -> tuple[Path, Path]:
    """The paths of certificate and key in `keys`. Makes both if one is missing or damaged, or if
    the kit made them for other names.

    P-256, for localhost, attune.local, the loopback addresses and `names`: host names and
    addresses. The key is 0600 and in PKCS #8, which the server asks for. RFC 5280, 4.2.1.10.
    Raises BadFile where somebody put two there that do not belong together.
    """
    place = KeysFolder(keys)
    certificate, key_file = place.certificate, place.certificate_key
    named = [_name(text) for text in dict.fromkeys((*_ALWAYS, *names)) if text not in _EVERYWHERE]
    if certificate.exists() and key_file.exists():
        if _are_whole(certificate, key_file) and _speaks_for(certificate, named):
            return certificate, key_file
        # Damaged, or for other names. The certificate goes first: a power cut must not leave it
        # beside a new key.
        certificate.unlink()
        sync_directory(keys)
    authority_key = ec.generate_private_key(ec.SECP256R1())
    authority = _authority(authority_key, named)
    key = ec.generate_private_key(ec.SECP256R1())
    leaf = _leaf(key, named, authority, authority_key)
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    pem = serialization.Encoding.PEM
    save(place.authority, authority.public_bytes(pem))
    save(key_file, private, mode=0o600)
    save(certificate, leaf.public_bytes(pem) + authority.public_bytes(pem))
    return certificate, key_file


def _are_whole(certificate: Path, key_file: Path) -> bool:
    try:
        leaf = x509.load_pem_x509_certificate(read_plain(certificate))
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
    leaf = x509.load_pem_x509_certificate(read_plain(certificate))
    if leaf.issuer != _called(_AUTHORITY):
        return True
    has = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return set(named) <= set(has)


def fingerprint(certificate: Path) -> str:
    """SHA-256 of the leaf, as browsers show it: pairs of hexadecimal digits."""
    leaf = x509.load_pem_x509_certificate(read_plain(certificate))
    return leaf.fingerprint(hashes.SHA256()).hex(":").upper()


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
        _builder(_AUTHORITY, key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(constraints, critical=True)
        .add_extension(_usage("key_cert_sign"), critical=True)
        .sign(key, hashes.SHA256())
    )


def _leaf(
    key: ec.EllipticCurvePrivateKey,
    names: list[x509.GeneralName],
    authority: x509.Certificate,
    authority_key: ec.EllipticCurvePrivateKey,
) -> x509.Certificate:
    issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key())
    return (
        _builder("Attune kit", key.public_key())
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(issuer, critical=False)
        .add_extension(_usage("digital_signature"), critical=True)
        .sign(authority_key, hashes.SHA256())
    )


def _called(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _builder(subject: str, public: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(_called(subject))
        .issuer_name(_called(_AUTHORITY))
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(EARLIEST)
        .not_valid_after(EARLIEST + _LIFE)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
    )


def _usage(allowed: str) -> x509.KeyUsage:
    return x509.KeyUsage(**{use: use == allowed for use in _USES})
