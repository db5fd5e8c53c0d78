"""Files of the local cloud that must be whole, private, or gone."""

from __future__ import annotations

import os
import shutil
from pathlib import Path


def write_private(path: Path, content: str | bytes) -> None:
    """Write a file that may hold keys: for its owner's eyes only, replaced as a whole. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f"{path.name}.new")
    fresh.unlink(missing_ok=True)
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content.encode() if isinstance(content, str) else content)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)


def remove_folder(folder: Path) -> None:
    """Remove a folder with all in it; none is no error. Raises OSError."""
    if folder.exists():
        shutil.rmtree(folder)
