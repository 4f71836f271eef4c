"""Curves as small pictures."""

from __future__ import annotations

from ..records import Points
from .html import Html, element

WIDTH, HEIGHT, MARGIN = 160, 24, 2


def sparkline(points: Points) -> Html:
    """A curve over its steps; it breaks where a value is not finite."""
    import numpy as np

    finite = np.isfinite(points.value)
    if not finite.any():
        return Html("")
    first, last = int(points.step.min()), int(points.step.max())
    low, high = float(points.value[finite].min()), float(points.value[finite].max())
    span = (high / 2 - low / 2) or 1.0  # halves, for the whole may be beyond what a float can hold
    x = MARGIN + (points.step - float(first)) / max(float(last) - first, 1.0) * (WIDTH - 2 * MARGIN)
    with np.errstate(invalid="ignore"):
        y = HEIGHT - MARGIN - (points.value / 2 - low / 2) / span * (HEIGHT - 2 * MARGIN)
    drawn, pen = [], "M"
    for left, top, is_finite in zip(x.tolist(), y.tolist(), finite.tolist(), strict=True):
        if is_finite:
            # a stroke of no length is a dot: a point between two gaps is seen
            drawn.append(f"{pen}{left:.1f} {top:.1f}" + ("h0" if pen == "M" else ""))
        pen = "L" if is_finite else "M"
    path = element("path", d="".join(drawn))
    return element("svg", path, viewBox=f"0 0 {WIDTH} {HEIGHT}", width=str(WIDTH), height=str(HEIGHT))
