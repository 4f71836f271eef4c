"""One line records every training run."""

__version__ = "0.1.0"
