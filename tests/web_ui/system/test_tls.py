"""The kit's certificates: good for every device, year after year, without anybody's doing."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from cryptography.x509.verification import PolicyBuilder, Store

from appliance.records.clock import EARLIEST, Mark
from appliance.records.files import Home, save_fact
from web_ui.system.tls import ensure_certificate, fingerprint, next_turn, sure_of

NAMES = ("10.55.0.1", "kit-7k3p.local")
YEARS = [EARLIEST + timedelta(days=days) for days in range(1, 15 * 366, 25)]
PEM = serialization.Encoding.PEM


def leaf_of(keys: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate((keys / "tls.crt").read_bytes())


def authority_of(keys: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate((keys / "authority.crt").read_bytes())


@pytest.mark.parametrize("unused", [0, 400])
def test_a_tablet_that_trusts_the_kit_takes_its_page_for_fifteen_years(
    tmp_path: Path, unused: int
) -> None:
    """Also when the kit has been sure of no time for `unused` days. The rules are those of
    https://support.apple.com/en-us/103769; the verifier's own are the browsers'."""
    ensure_certificate(tmp_path, NAMES, EARLIEST)
    authority, key = authority_of(tmp_path), (tmp_path / "tls.key").read_bytes()
    for day in YEARS:
        ensure_certificate(tmp_path, NAMES, day - timedelta(days=unused))
        first, *chain = x509.load_pem_x509_certificates((tmp_path / "tls.crt").read_bytes())
        at = PolicyBuilder().store(Store([authority])).time(day)
        for name in (x509.DNSName("kit-7k3p.local"), x509.DNSName("attune.local")):
            at.build_server_verifier(name).verify(first, chain)
        assert first.not_valid_after_utc - first.not_valid_before_utc < timedelta(days=825)
        uses = first.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        assert list(uses) == [ExtendedKeyUsageOID.SERVER_AUTH]
        assert first.signature_hash_algorithm is not None
        assert first.signature_hash_algorithm.name == "sha256"
    assert (tmp_path / "tls.key").read_bytes() == key
    assert authority_of(tmp_path) == authority, "whoever trusts it need do nothing"


def test_the_label_knows_the_fingerprint_that_comes_next(tmp_path: Path) -> None:
    ensure_certificate(tmp_path, NAMES, EARLIEST)
    seen = [fingerprint(tmp_path / "tls.crt")]
    while said := next_turn(tmp_path / "tls.crt"):
        turn, following = said
        ensure_certificate(tmp_path, NAMES, turn - timedelta(seconds=1))
        assert fingerprint(tmp_path / "tls.crt") == seen[-1]
        ensure_certificate(tmp_path, NAMES, turn)
        assert fingerprint(tmp_path / "tls.crt") == following
        seen.append(following)
    assert len(set(seen)) == len(seen) and turn > EARLIEST + timedelta(days=15 * 365)


@pytest.mark.parametrize("mark", ["", "?", "2027-03-01", "2031-06-01"])
def test_a_clock_in_the_wrong_year_chooses_no_certificate(tmp_path: Path, mark: str) -> None:
    home = Home(tmp_path, tmp_path / "run")
    home.clock_mark.parent.mkdir()
    if mark.startswith("20"):
        save_fact(home.clock_mark, Mark(highest=datetime.fromisoformat(mark).replace(tzinfo=UTC)))
    elif mark:
        home.clock_mark.write_text(mark)
    sure = sure_of(home.clock_mark)
    home.keys.mkdir()
    ensure_certificate(home.keys, NAMES, sure)
    leaf = leaf_of(home.keys)
    assert sure is None or leaf.not_valid_before_utc <= sure < leaf.not_valid_after_utc
    now = datetime.now(UTC)
    assert sure or leaf.not_valid_before_utc <= now < leaf.not_valid_after_utc


@pytest.mark.parametrize("what", ["gone", "torn", "another's"])
def test_years_that_are_lost_or_damaged_are_made_anew(tmp_path: Path, what: str) -> None:
    ensure_certificate(tmp_path, NAMES, EARLIEST)
    before, years = authority_of(tmp_path), tmp_path / "tls-years.crt"
    if what == "gone":
        years.unlink()
    elif what == "torn":
        years.write_bytes(years.read_bytes()[:1000])
    else:
        (tmp_path / "other").mkdir()
        ensure_certificate(tmp_path / "other", NAMES, EARLIEST)
        (tmp_path / "other" / "tls-years.crt").rename(years)
    ensure_certificate(tmp_path, NAMES, EARLIEST)
    assert authority_of(tmp_path) != before
    assert len(x509.load_pem_x509_certificates(years.read_bytes())) > 10
    assert leaf_of(tmp_path) in x509.load_pem_x509_certificates(years.read_bytes())


@pytest.mark.parametrize("issuer", ["Attune kit authority", "the service's authority"])
def test_a_certificate_of_ten_years_or_of_the_service_stays_as_it_is(
    tmp_path: Path, issuer: str
) -> None:
    ensure_certificate(tmp_path, NAMES, EARLIEST)
    names = leaf_of(tmp_path).extensions.get_extension_for_class(x509.SubjectAlternativeName)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)])
    key = ec.generate_private_key(ec.SECP256R1())
    theirs = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(EARLIEST)
        .not_valid_after(EARLIEST + timedelta(days=3650))
        .add_extension(names.value, critical=False)
        .sign(key, hashes.SHA256())
    )
    (tmp_path / "tls.crt").write_bytes(theirs.public_bytes(PEM))
    (tmp_path / "tls.key").write_bytes(
        key.private_bytes(PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    ensure_certificate(tmp_path, NAMES, EARLIEST + timedelta(days=3000))
    assert leaf_of(tmp_path) == theirs
    assert next_turn(tmp_path / "tls.crt") is None, "what lies there of before is not its next"
