"""What the author of the toy library's integration writes."""

import random

import toyboost
from toyboost_autotrack import Toyboost

from autotrack.testing import IntegrationConformance

DATA = [1.0, 2.0]


class TestFit(IntegrationConformance):
    integration = Toyboost
    params = {"rounds": 2}
    metrics = {"loss"}

    def train(self):
        return toyboost.ScaledModel().fit(DATA, {"rounds": 2}, callbacks=[])

    def broken_train(self):
        toyboost.ScaledModel().fit([-1.0], {"rounds": 2})


class TestTrain(IntegrationConformance):
    integration = Toyboost
    params = {"rounds", "rate"}
    metrics = {"loss"}

    def train(self):
        params = {"rounds": 2, "rate": 0.1}
        return toyboost.train(params, DATA, random.Random(1), callbacks=[]).predict(DATA)

    def broken_train(self):
        toyboost.train({"rounds": 2, "rate": 0.1}, [-1.0])
