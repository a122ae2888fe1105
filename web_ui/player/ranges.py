"""A film over HTTP, part by part (RFC 9110, section 14): whole, a range, or only its size.

What is sent is unsealed as it is sent, in pieces of 256 KiB: nothing of a film is ever in clear in
a file, or in memory for longer than a piece takes.
"""

import re
import time
from collections.abc import Callable, Iterator

from flask import Response, request

from appliance.errors import KitError
from web_ui.player.open_films import Playable

PIECE = 1 << 18
TABLES, AT_ONCE = 1 << 21, 1 << 19
"""Bytes of an answer that are sent at full speed, so that a picture is seen soon: at the start of a
film, where its tables lie, and elsewhere, where a second of film is enough."""
LATER = 0.1
"""Seconds between the pieces that follow: 2.6 MB a second, five times the rate of our films. A
browser reads far ahead and throws most of it away at the next seek; the kit is a small computer
that serves others too."""
_RANGE = re.compile(r"bytes=(?:(?P<first>\d{1,18})-(?P<last>\d{0,18})|-(?P<suffix>\d{1,18}))")


def play(
    open_source: Callable[[], Playable], rest: Callable[[float], None] = time.sleep
) -> Response:
    """Answer a player with 200, 206 or 416.

    `open_source` is asked again for every piece, on whatever thread sends it: so a withdrawal or a
    lock ends a film that is being sent, and the player's next request is told why. `rest` waits
    for so many seconds.
    """
    source = open_source()
    etag = f'"{source.etag}"'
    headers = {"Accept-Ranges": "bytes", "ETag": etag, "Content-Type": "video/mp4"}
    start, end, status = _asked_for(source.size, etag)
    if status == 416:
        headers["Content-Range"] = f"bytes */{source.size}"
        return Response(status=416, headers=headers)
    if status == 206:
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{source.size}"
    headers["Content-Length"] = str(end - start)
    body = None if request.method == "HEAD" else _pieces(open_source, source.etag, start, end, rest)
    return Response(body, status=status, headers=headers, direct_passthrough=True)


def _asked_for(size: int, etag: str) -> tuple[int, int, int]:
    """Start, end and status. Anything but one good range asks for the whole film."""
    found = _RANGE.fullmatch(request.headers.get("Range", "").strip())
    whole = (0, size, 200)
    if request.method == "HEAD" or not found or request.headers.get("If-Range", etag) != etag:
        return whole
    if found["suffix"] is not None:
        length = int(found["suffix"])
        return (max(0, size - length), size, 206) if length and size else (0, 0, 416)
    first = int(found["first"])
    last = min(int(found["last"]), size - 1) if found["last"] else size - 1
    if first >= size:
        return (0, 0, 416)
    return (first, last + 1, 206) if first <= last else whole


def _pieces(
    open_source: Callable[[], Playable],
    etag: str,
    start: int,
    end: int,
    rest: Callable[[float], None],
) -> Iterator[bytes]:
    soon = start + AT_ONCE if start else TABLES
    while start < end:
        if start >= soon:
            rest(LATER)
        try:
            source = open_source()
            piece = source.read_at(start, min(PIECE, end - start)) if source.etag == etag else b""
        except (KitError, OSError, ValueError):
            # Locked, withdrawn, altered or damaged. The answer has begun, so it can only end
            # early, which the player sees; its next request is refused in words.
            return
        if not piece:
            return
        yield piece
        start += len(piece)
