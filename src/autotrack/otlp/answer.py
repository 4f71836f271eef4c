"""What becomes of a body that is sent; apart from the transports, which take long to import."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """What became of a body."""

    ACCEPTED = "accepted"
    TOO_LARGE = "too large"
    BAD = "bad"  # the receiver will never take it
    REFUSED = "refused"  # until a person changes something: a token, an address
    RETRY = "retry"


@dataclass(frozen=True)
class Answer:
    """`message` is for people; `rejected` spans of an accepted body were not taken; `after` is how many
    seconds the receiver asks us to wait, None if it does not say."""

    kind: Kind
    message: str = ""
    rejected: int = 0
    after: float | None = None


BUSY = Answer(Kind.RETRY, "another process is sending it; if it was stopped (Ctrl-Z), continue or end it")
MORE = Answer(Kind.RETRY, "there is more")
"""Nothing is wrong: go on at once."""
TIME_IS_UP = Answer(Kind.RETRY, "there was no time left to send it")
