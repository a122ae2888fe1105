"""Clips and stills in a case, as the page leaves them, made at once and without a page."""

import functools
import hashlib
import io
from datetime import datetime

from appliance.age.recipients import parse_recipient
from appliance.age.sealing import seal
from appliance.casework.clips import Clip, Still, sealed_file
from appliance.media.cutting import cut
from appliance.media.stills import still
from appliance.records.files import new_id
from appliance.vault.cases import OpenCase

SCALE = 90_000


def keep_clip(
    case: OpenCase, recording: str, film: bytes, made: datetime, data: bytes | None = None
) -> Clip:
    """Keep the second from 0:00.5 of a film, or `data`, as a clip."""
    cut_out, frames = _cut(film)
    sealed = _sealed(case, cut_out if data is None else data)
    kept = Clip(
        id=new_id(),
        recording=recording,
        start=SCALE // 2,
        end=3 * SCALE // 2,
        scale=SCALE,
        frames=frames,
        size=len(sealed),
        sha256=hashlib.sha256(sealed).hexdigest(),
        made=made,
    )
    sealed_file(case, kept).write_bytes(sealed)
    case.write(kept, kept.id)
    return kept


def keep_still(
    case: OpenCase, recording: str, film: bytes, made: datetime, data: bytes | None = None
) -> Still:
    """Keep the picture at the first second of a film, or `data`, as a still."""
    out = io.BytesIO()
    still(io.BytesIO(film), 1, out)
    sealed = _sealed(case, out.getvalue() if data is None else data)
    kept = Still(
        id=new_id(),
        recording=recording,
        at=SCALE,
        scale=SCALE,
        size=len(sealed),
        sha256=hashlib.sha256(sealed).hexdigest(),
        made=made,
    )
    sealed_file(case, kept).write_bytes(sealed)
    case.write(kept, kept.id)
    return kept


@functools.cache
def _cut(film: bytes) -> tuple[bytes, int]:
    out = io.BytesIO()
    done = cut(io.BytesIO(film), 0.5, 1.5, out)
    return out.getvalue(), done.frames


def _sealed(case: OpenCase, data: bytes) -> bytes:
    return seal(data, [parse_recipient(case.record.recipient)])
