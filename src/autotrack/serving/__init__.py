"""A model over HTTP: `/invocations` as MLflow's clients and SageMaker ask for it.

A parent (`supervising.py`) holds the socket and keeps worker processes alive; each (`worker.py`) has the
model loaded and answers (`service.py`). `inputs.py` makes data of a body, `batching.py` joins what comes
while the model is at work, `predictions.py` makes JSON of what it said, `following.py` knows which version
an address means by now. `import-linter` keeps trainings from all of it.
"""
