"""The integration of the toy library, without a fault."""

from autotrack import Integration, hook


class Points:
    def __init__(self, run):
        self.run = run

    def after_round(self, step, loss):
        self.run.log({"loss": loss}, step)


class Toyboost(Integration):
    name = "toyboost"
    requires = "toyboost>=1.0"

    @hook("toyboost:Model.fit", subclasses=True)
    def fit(self, run, call):
        run.log_params(call.arguments["settings"] or {})
        call.append("callbacks", Points(run))
        yield

    @hook("toyboost:train")
    def train(self, run, call):
        run.log_params(call.arguments["params"])
        call.append("callbacks", Points(run))
        yield
