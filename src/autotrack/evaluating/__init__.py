"""Evaluations: a model's predictions held against the truth, as a run of its own.

`evaluation.py` is the whole; `predicting.py` asks a model for classes, numbers and probabilities, `slices.py`
names parts of the rows, `thresholds.py` says what has to be reached, `comparison.py` how sure it is that
one model is better than another.
"""
