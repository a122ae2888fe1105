"""Bech32 (BIP 173): how age writes keys down, so that a typing error shows."""

from collections.abc import Iterable

_BECH32 = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_GENERATOR = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)


def to_bech32(prefix: str, data: bytes) -> str:
    """`data` in Bech32 (BIP 173, without its limit of 90 characters), in lower case."""
    groups = _regrouped(data, 8, 5)
    check = _polymod([*_expanded(prefix), *groups, 0, 0, 0, 0, 0, 0]) ^ 1
    groups += [check >> shift & 31 for shift in range(25, -1, -5)]
    return prefix + "1" + "".join(_BECH32[group] for group in groups)


def from_bech32(text: str) -> tuple[str, bytes]:
    """The prefix (in lower case) and the data of a Bech32 string; ("", b"") if it is not one."""
    lowered = text.lower()
    prefix, _, encoded = lowered.rpartition("1")
    if (
        text not in (lowered, text.upper())
        or not prefix
        or not prefix.isascii()
        or len(encoded) < 6
    ):
        return "", b""
    groups = [_BECH32.find(character) for character in encoded]
    if -1 in groups or _polymod([*_expanded(prefix), *groups]) != 1:
        return "", b""
    data = _regrouped(groups[:-6], 5, 8)
    # One spelling only: no spare group, and the spare bits of the last one are zero.
    if _regrouped(data, 8, 5) != groups[:-6]:
        return "", b""
    return prefix, bytes(data)


def _polymod(groups: Iterable[int]) -> int:
    check = 1
    for group in groups:
        top = check >> 25
        check = (check & 0x1FFFFFF) << 5 ^ group
        for bit, value in enumerate(_GENERATOR):
            if top >> bit & 1:
                check ^= value
    return check


def _expanded(prefix: str) -> list[int]:
    return [ord(c) >> 5 for c in prefix] + [0] + [ord(c) & 31 for c in prefix]


def _regrouped(values: Iterable[int], width: int, new_width: int) -> list[int]:
    """Bits in groups of another width. To 5, zeros fill the last group; to 8, spare bits drop."""
    pool = bits = 0
    groups = []
    for value in values:
        pool = (pool << width | value) & 0xFFF
        bits += width
        while bits >= new_width:
            bits -= new_width
            groups.append(pool >> bits & ((1 << new_width) - 1))
    if bits and new_width < width:
        groups.append(pool << (new_width - bits) & ((1 << new_width) - 1))
    return groups
