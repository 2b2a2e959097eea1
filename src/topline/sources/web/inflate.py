"""Bodies are unpacked here, in bounded memory, and never taken for whole where they are not.

The HTTP client's own decoders take a gzip stream that is cut off for a whole one, and leave out all but its first member.
"""

import zlib

CODINGS = "gzip, deflate"  # what we ask for; RFC 9110 section 8.4.1
_GZIP, _ZLIB, _RAW = zlib.MAX_WBITS | 16, zlib.MAX_WBITS, -zlib.MAX_WBITS


class TooLarge(Exception):  # noqa: N818 - caught within this package, which knows what was asked for
    """More than the limit, unpacked."""


def inflate(body: bytes, codings: str, limit: int) -> bytes:
    """`body` without its Content-Encoding. TooLarge beyond `limit` bytes; ValueError where it does not unpack."""
    for coding in reversed([name.strip().lower() for name in codings.split(",") if name.strip()]):
        if coding in ("gzip", "x-gzip"):
            body = _members(body, limit)
        elif coding == "deflate":
            body = _member(body, _ZLIB if _is_zlib(body) else _RAW, limit)[0]
        elif coding != "identity":
            raise ValueError(f"it is packed as {coding!r}, which was not asked for (only {CODINGS})")
    return body


def _is_zlib(body: bytes) -> bool:
    """RFC 1950 section 2.2; some servers send what is inside alone."""
    return len(body) >= 2 and body[0] & 15 == 8 and int.from_bytes(body[:2], "big") % 31 == 0


def _members(body: bytes, limit: int) -> bytes:
    """Every member of a gzip stream (RFC 1952 section 2.2); zeros after the last are padding."""
    pieces: list[bytes] = []
    while not pieces or body.strip(b"\0"):
        piece, body = _member(body, _GZIP, limit - sum(map(len, pieces)))
        pieces.append(piece)
    return b"".join(pieces)


def _member(body: bytes, window: int, limit: int) -> tuple[bytes, bytes]:
    """One stream unpacked, and what follows it."""
    decompressor = zlib.decompressobj(window)
    try:
        found = decompressor.decompress(body, limit + 1)
    except zlib.error as error:
        raise ValueError(f"it does not unpack: {error}") from None
    if len(found) > limit:
        raise TooLarge
    if not decompressor.eof:
        raise ValueError("it is cut off within its compression")
    return found, decompressor.unused_data
