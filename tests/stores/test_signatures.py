"""What goes to an S3 engine is signed as Amazon published it: the examples of "Signature
Calculations for the Authorization Header: Transferring Payload in a Single Chunk"
(docs.aws.amazon.com,
AmazonS3, API/sig-v4-header-based-auth)."""

import hashlib
from datetime import UTC, datetime

import pytest

from appliance.bench.certificates import Authority
from appliance.stores.s3 import Bucket
from appliance.stores.tls import pinned

NOW = datetime(2013, 5, 24, tzinfo=UTC)
NOTHING = hashlib.sha256(b"").hexdigest()
WELCOME = hashlib.sha256(b"Welcome to Amazon S3.").hexdigest()
PUT = {"date": "Fri, 24 May 2013 00:00:00 GMT", "x-amz-storage-class": "REDUCED_REDUNDANCY"}


@pytest.fixture(scope="module")
def bucket() -> Bucket:
    return Bucket(
        "https://examplebucket.s3.amazonaws.com",
        "us-east-1",
        "",
        "",
        "AKIAIOSFODNN7EXAMPLE",
        "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
        pinned(Authority().pem),
    )


@pytest.mark.parametrize(
    ("method", "path", "words", "headers", "digest", "names", "signature"),
    [
        (
            *("PUT", "/test%24file.text", "", PUT, WELCOME),
            "date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class",
            "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
        ),
        (
            *("GET", "/test.txt", "", {"range": "bytes=0-9"}, NOTHING),
            "host;range;x-amz-content-sha256;x-amz-date",
            "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
        ),
        (
            *("GET", "/", "lifecycle=", {}, NOTHING),
            "host;x-amz-content-sha256;x-amz-date",
            "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
        ),
        (
            *("GET", "/", "max-keys=2&prefix=J", {}, NOTHING),
            "host;x-amz-content-sha256;x-amz-date",
            "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
        ),
    ],
    ids=["put", "get", "lifecycle", "list"],
)
def test_each_published_example_is_signed_as_published(
    bucket: Bucket,
    method: str,
    path: str,
    words: str,
    headers: dict[str, str],
    digest: str,
    names: str,
    signature: str,
) -> None:
    host = "examplebucket.s3.amazonaws.com"
    told = {"host": host, "x-amz-content-sha256": digest, **headers}
    made = bucket._authorisation(method, path, words, told, digest, NOW)
    assert made["x-amz-date"] == "20130524T000000Z"
    assert made["authorization"] == (
        "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request, "
        f"SignedHeaders={names}, Signature={signature}"
    )
