"""How protobuf lays out a message, and the pieces of it.

Each field is a tag, ``number << 3 | wire type``, and a value. A varint (type 0) is a little-endian number
in groups of 7 bits, the high bit set on all but the last; types 1 and 5 take 8 and 4 bytes; strings, bytes
and messages (type 2) come after their length.
"""

from __future__ import annotations

SHORT_VARINTS = tuple(bytes((number,)) for number in range(128))


def varint(number: int) -> bytes:
    """Encode a number as protobuf does lengths."""
    if number < 128:
        return SHORT_VARINTS[number]
    groups = bytearray()
    while number > 127:
        groups.append(number & 127 | 128)
        number >>= 7
    groups.append(number)
    return bytes(groups)


def block(tag: bytes, body: bytes | bytearray) -> bytes:
    """A field of bytes, or a message in another."""
    return b"".join((tag, varint(len(body)), body))
