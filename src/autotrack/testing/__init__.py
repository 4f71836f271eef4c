"""Kits for authors: subclass one in your tests, and every promise of its contract is tested.

from autotrack.testing import IntegrationConformance

class TestTinyboost(IntegrationConformance):
    integration = Tinyboost
    ...
"""

from __future__ import annotations

try:
    import hypothesis  # noqa: F401
    import pytest
except ImportError as error:
    raise ImportError(f"autotrack.testing needs {error.name}: pip install 'autotrack[testing]'") from error

_KITS = ("backends", "flavors", "integrations", "registries")
pytest.register_assert_rewrite(*(f"{__name__}.{kit}" for kit in _KITS))

from .backends import BackendConformance  # noqa: E402
from .flavors import FlavorConformance  # noqa: E402
from .integrations import IntegrationConformance  # noqa: E402
from .tracking import Tracking  # noqa: E402

__all__ = ["BackendConformance", "FlavorConformance", "IntegrationConformance", "Tracking"]
