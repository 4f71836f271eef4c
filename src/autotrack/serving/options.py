"""What a server is started with; a worker gets it as JSON."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from typing import Any

PORT = 8080
"""Where SageMaker and others ask a model's container."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """uri: the model's address. store: the URL of the store that it is looked up in.

    token: None needs none. guarded: others than this machine's users may reach it without one, as what
    stands around it lets in only whom it should. most_rows: of a joint prediction; None: 1, or more
    where the model surely predicts row by row. most_bytes: of a body. patience: seconds in which a body must
    have come. follow_every: seconds between two looks at where an alias points. grace: seconds that requests
    get when the server is asked to end.
    """

    uri: str
    store: str
    trusted: tuple[str, ...] = ()
    allow_pickle: bool = False
    allow_code: bool = False
    host: str = "127.0.0.1"
    port: int = PORT
    workers: int = 1
    token: str | None = ""
    guarded: bool = False
    allowed_hosts: tuple[str, ...] = ()
    most_rows: int | None = None
    most_bytes: int = 64 << 20
    patience: float = 60.0
    follow_every: float = 2.0
    grace: float = 20.0

    def to_json(self) -> str:
        """For `from_json`."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, told: str | bytes) -> Options:
        """What `to_json` gave."""
        values: dict[str, Any] = json.loads(told)
        lists = {field.name for field in fields(cls) if str(field.type).startswith("tuple")}
        values |= {name: tuple(values[name]) for name in lists}
        return cls(**values)
