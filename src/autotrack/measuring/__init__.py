"""How good predictions are: the metrics and the tables of a task, from truth, prediction and probabilities.

`measures.py` has the formulas, `metrics.py` what a task's numbers are, `curves.py` its tables. Whoever
predicts, a training that looks at its own data or an evaluation, makes `Predictions` of it.
"""
