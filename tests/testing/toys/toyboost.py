"""A library to train with: one function, and estimators of two families."""

import math


class Model:
    def __init__(self, rate=0.5):
        self.rate = rate

    def fit(self, data, settings=None, callbacks=None):
        self.losses = []
        for step in range((settings or {}).get("rounds", 3)):
            self.losses.append(math.sqrt(sum(data)) * self.rate**step)
            for callback in callbacks or []:
                callback.after_round(step, self.losses[-1])
        return self

    def predict(self, data):
        return [self.losses[-1] * value for value in data]


class Scaling:
    """`fit` from outside the family."""

    def fit(self, data, settings=None, callbacks=None):
        return super().fit([2 * value for value in data], settings, callbacks)


class ScaledModel(Scaling, Model):
    pass


def train(params, data, generator=None, callbacks=None):
    model = ScaledModel(params["rate"])
    return model.fit(data, {"rounds": params["rounds"]}, callbacks)
