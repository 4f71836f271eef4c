"""Files in memory as the folder of a model, which a flavor reads."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from autotrack.flavor import Flavor, ModelFolder, Permissions
from autotrack.mlmodel.folder import ModelFile


def loaded(flavor: Flavor, files: Mapping[str, bytes], section: Mapping[str, Any], **permitted: Any) -> Any:
    """What the flavor makes of files of which an `MLmodel` says `section`."""
    with tempfile.TemporaryDirectory() as root:
        for name, data in files.items():
            Path(root, name).parent.mkdir(parents=True, exist_ok=True)
            Path(root, name).write_bytes(data)
        folder = ModelFolder({name: ModelFile(Path(root, name)) for name in files}, "the model")
        return flavor.load(folder, section, Permissions(**permitted))
