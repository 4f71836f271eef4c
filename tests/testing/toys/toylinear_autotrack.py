"""Its flavor, by which the kit's defects are planted."""

import json

from autotrack.errors import ModelError
from autotrack.flavor import Flavor, Frozen, NotKept

FILE = "model.json"


class LinearFlavor(Flavor):
    name = "toylinear"

    def freeze(self, model, limit, example=None):
        if type(model).__name__ != "Linear":
            raise NotKept(f"{type(model).__qualname__} is not Linear")
        data = json.dumps(model.coefficients).encode()
        if len(data) > limit:
            raise NotKept("it has more than model_max_bytes")
        return Frozen(data, FILE)

    def describe(self, files, kind):
        return {self.name: {"data": FILE}}

    def load(self, folder, section, permissions):
        import toylinear

        try:
            coefficients = json.loads(folder.read(FILE))
        except ValueError as error:
            raise ModelError(f"{FILE} is no JSON: {error}") from error
        return toylinear.Linear(coefficients)
