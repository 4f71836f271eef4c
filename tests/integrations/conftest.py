from ..tracking import tracking

__all__ = ["tracking"]
