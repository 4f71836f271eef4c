"""What the tests of evaluations may ask for."""

from ..tracking import tracking

__all__ = ["tracking"]
