"""What the flavor's author writes."""

import toylinear
from toylinear_autotrack import LinearFlavor

from autotrack.testing import FlavorConformance


class TestLinear(FlavorConformance):
    flavor = LinearFlavor

    def model(self):
        return toylinear.Linear([0.123456789123, -1.25, 3.0])

    def data(self):
        return [[1.0, 2.0, 3.0], [0.0, -1.0, 4.0]]

    def change(self, model):
        model.shift()
