"""The ranks of PyTorch: what `torch.distributed` and its launchers say of this process; nothing is imported.

Once a process group is there, it knows; its default store carries the word between ranks. Before that the
launcher's variables do: those of torchrun, or of Lightning, which starts the script again for each rank but
0. A process that `torch.multiprocessing.spawn` started has none: it may become a rank, and its number is no
rank yet.
"""

from __future__ import annotations

import logging
import os
import sys
from datetime import timedelta
from typing import Any
from weakref import ref

from .interrupts import pass_on
from .recording.ranks import Peers

log = logging.getLogger("autotrack")

_KEY = "autotrack/run"
_PATIENCE = timedelta(seconds=5)
"""For what the store's client waits for of itself, such as a connection; not for a server that is silent."""


class TorchRanks:
    """Called for the peers of this process, None if it has none."""

    def __init__(self) -> None:
        self._board: _StoreBoard | None = None

    def __call__(self) -> Peers | None:
        try:
            return self._of_group() or _of_launcher()
        except Exception as error:  # noqa: BLE001  another shape of torch, or half of it while it is imported
            pass_on(error)
            log.debug("autotrack: torch.distributed does not tell its ranks: %r", error)
            return None

    def _of_group(self) -> Peers | None:
        distributed = sys.modules.get("torch.distributed")
        if distributed is None or not distributed.is_available() or not distributed.is_initialized():
            return None
        store = distributed.distributed_c10d._get_default_store()
        if self._board is None or not self._board.is_of(store):
            self._board = _StoreBoard(store)
        rank, size = distributed.get_rank(), distributed.get_world_size()
        return Peers(rank, size, self._board) if size > 1 else None


class _StoreBoard:
    """A key of the store, over a connection of its own where the store is a TCPStore.

    The training may wait in the store for minutes, and who waits there keeps all others out. (A FileStore
    counts who leaves it, and would count another one too.) The store itself is not held: it lets go of its
    port or file when the training destroys the group.
    """

    def __init__(self, store: Any) -> None:
        self._shared = ref(store)
        self._own: Any = None

    def is_of(self, store: Any) -> bool:
        """Whether it is a key of this one."""
        return self._shared() is store

    def _store(self) -> Any:
        if self._own is not None:
            return self._own
        shared = self._shared()
        if shared is None:
            raise ConnectionError("the process group was destroyed")
        if not (_is_tcp(shared) and hasattr(shared, "clone")):  # an older torch has none
            return shared
        self._own = shared.clone()
        self._own.set_timeout(_PATIENCE)
        return self._own

    def put(self, text: str) -> None:
        self._store().set(_KEY, text)

    def get(self) -> str | None:
        store = self._store()
        if not store.check([_KEY]):  # `get` alone would wait for it
            return None
        found: bytes = store.get(_KEY)
        return found.decode()


def _is_tcp(store: Any) -> bool:
    while (inner := getattr(store, "underlying_store", None)) is not None:
        store = inner
    return type(store).__name__ == "TCPStore"


def _of_launcher() -> Peers | None:
    get = os.environ.get
    if "MASTER_ADDR" in os.environ or "TORCHELASTIC_RUN_ID" in os.environ:
        size = _number(get("WORLD_SIZE"))
        rank = _number(get("RANK"))
        if rank is None and size is not None:  # Lightning's; further nodes begin anew at local rank 0
            rank = max(_number(get("LOCAL_RANK")) or 0, _number(get("NODE_RANK")) or 0)
        if rank is not None and (size or 0) > 1:
            return Peers(rank, size or 0)
    return _of_spawn()


def _of_spawn() -> Peers | None:
    multiprocessing = sys.modules.get("multiprocessing.process")
    if multiprocessing is None or "torch.multiprocessing.spawn" not in sys.modules:
        return None
    process: Any = multiprocessing.current_process()
    if getattr(getattr(process, "_target", None), "__module__", "") != "torch.multiprocessing.spawn":
        return None
    _, index, *_ = process._args  # the function, its number, what it is given
    return Peers(index, 0, may_change=True) if isinstance(index, int) and index > 0 else None


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and text.isdecimal() else None
