"""What became of the registry since the last look, whichever process changed it."""

from __future__ import annotations

from ..errors import StoreError
from ..records import AuditEntry
from ..registry import Registry

MOST_ENTRIES = 1_000
"""Changes that are looked through; of a longer absence the latest are told."""


class RegistryNews:
    """The audit log, read on from where it was read to."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._seen: int | None = None

    def take(self) -> set[str]:
        """The names of the models that have changed; nothing of what was there at the first look."""
        try:
            return self._read()
        except StoreError:  # whoever asks for the models is told why they cannot be had
            return set()

    def _read(self) -> set[str]:
        latest = self._registry.audit(limit=1)
        seen, self._seen = self._seen, latest[0].number if latest else 0
        if seen is None or seen == self._seen:
            return set()
        entries = self._registry.audit(limit=min(max(self._seen - seen, 1), MOST_ENTRIES))
        return {name for entry in entries if entry.number > seen for name in _names(entry)}


def _names(entry: AuditEntry) -> set[str]:
    """Of a model that was renamed, both."""
    renamed = entry.detail.get("name", {})
    return {entry.model, renamed.get("to", entry.model)}
