"""Some rows of whatever scikit-learn takes for X and y, without reading the others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def row_count(data: Any) -> int:
    """Raises TypeError for what has no rows."""
    shape = getattr(data, "shape", None)
    return int(shape[0]) if shape else len(data)


def cell_count(data: Any) -> int:
    """How many values there are to read, roughly."""
    if hasattr(data, "nnz"):
        return int(data.nnz)
    shape = getattr(data, "shape", None)
    if shape is None:  # a list of rows
        return len(data) * (len(data[0]) if len(data) and hasattr(data[0], "__len__") else 1)
    cells = 1
    for length in shape:
        cells *= int(length)
    return cells


def even_rows(count: int, wanted: int) -> NDArray[np.int64] | None:
    """`wanted` row numbers spread evenly over `count`, the same each time; None for all of them."""
    import numpy as np

    return None if wanted >= count else np.arange(wanted, dtype=np.int64) * count // wanted


def take(data: Any, rows: NDArray[np.int64] | None) -> Any:
    """Those rows. Raises whatever `data` does if it cannot be taken from."""
    if rows is None:
        return data
    from sklearn.utils import _safe_indexing

    return _safe_indexing(data, rows)


def copied(data: Any, rows: NDArray[np.int64] | None) -> NDArray[Any]:
    """Those rows as an array that nobody else changes; one column is a vector."""
    import numpy as np

    array = np.array(take(data, rows))
    return array.reshape(-1) if array.ndim == 2 and array.shape[1] == 1 else array
