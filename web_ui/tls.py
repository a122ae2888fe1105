"""The page's certificate: made by the kit itself at its first start, pinned by its fingerprint.

A leaf for this kit alone, no authority: who trusts it trusts nothing else. Its validity does not
hang on the clock, which may wake in the wrong year.
"""

import ipaddress
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from appliance.clock import EARLIEST
from appliance.files import save

_LIFE = timedelta(days=3650)


def ensure_certificate(keys: Path, listen: str) -> tuple[Path, Path]:
    """The paths of certificate and key in `keys`, made if they are not both there.

    P-256, for localhost, attune.local and the loopback addresses, and for `listen` where that is
    an address. The key is 0600 and in PKCS #8, which the server asks for.
    """
    certificate, key_file = keys / "tls.crt", keys / "tls.key"
    if certificate.exists() and key_file.exists():
        return certificate, key_file
    key = ec.generate_private_key(ec.SECP256R1())
    save(
        key_file,
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ),
        mode=0o600,
    )
    save(certificate, _certificate(key, listen).public_bytes(serialization.Encoding.PEM))
    return certificate, key_file


def _certificate(key: ec.EllipticCurvePrivateKey, listen: str) -> x509.Certificate:
    public = key.public_key()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Attune kit")])
    addresses = {ipaddress.ip_address("127.0.0.1"), ipaddress.ip_address("::1")}
    with suppress(ValueError):
        addresses.add(ipaddress.ip_address(listen))
    names = [x509.DNSName("localhost"), x509.DNSName("attune.local")]
    numbers = [x509.IPAddress(address) for address in sorted(addresses, key=str)]
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(EARLIEST)
        .not_valid_after(EARLIEST + _LIFE)
    )
    extensions: list[tuple[x509.ExtensionType, bool]] = [
        (x509.BasicConstraints(ca=False, path_length=None), True),
        (x509.SubjectAlternativeName([*names, *numbers]), False),
        (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False),
        (x509.SubjectKeyIdentifier.from_public_key(public), False),
        (x509.AuthorityKeyIdentifier.from_issuer_public_key(public), False),
        (
            x509.KeyUsage(
                digital_signature=True,
                content_commitment=False,
                key_encipherment=False,
                data_encipherment=False,
                key_agreement=False,
                key_cert_sign=False,
                crl_sign=False,
                encipher_only=False,
                decipher_only=False,
            ),
            True,
        ),
    ]
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical=critical)
    return builder.sign(key, hashes.SHA256())
