"""Predictions for the rows of a file, batch by batch: `autotrack predict`.

`reading.py` takes batches out of a file, `asking.py` asks the model about each, `writing.py` writes what it
says to another file, which is there whole or not at all. `tables.py` makes tables of columns.
"""
