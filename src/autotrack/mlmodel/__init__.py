"""The format of a model on disk: a folder with an `MLmodel` file, as MLflow defined it and others read it.

`document.py` reads and writes the `MLmodel` file, `composing.py` makes all that stands beside the model's
own bytes, `folder.py` is a model's files as they are read again, each checked by its digest.
"""
