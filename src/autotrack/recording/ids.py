"""Run ids: UUIDv7 (RFC 9562), from os.urandom so that no user's random state moves."""

from __future__ import annotations

import os
import time


def uuid7_hex() -> str:
    """32 hex characters: 48 bits of unix milliseconds, version and variant, 74 random bits."""
    random = int.from_bytes(os.urandom(10), "big")
    milliseconds = time.time_ns() // 1_000_000 & 0xFFFF_FFFF_FFFF
    value = (
        milliseconds << 80 | 0x7 << 76 | (random >> 68 & 0xFFF) << 64 | 0b10 << 62 | random & (1 << 62) - 1
    )
    return f"{value:032x}"
