"""The macro's code as the zip file that Lambda takes: the same bytes for the same code."""

from __future__ import annotations

import io
import zipfile
from importlib.resources import files

#: The handler and what it imports; nothing of them needs more than the standard library.
MODULES = ("callers", "fragments", "macro", "renaming", "transform", "trust")
HANDLER = "awsorch.cfn.macro.handler"
#: The first moment that zip files have.
_THEN = (1980, 1, 1, 0, 0, 0)


def macro_zip() -> bytes:
    """The content of the zip file."""
    package = files("awsorch")
    sources = {
        "awsorch/__init__.py": package / "__init__.py",
        "awsorch/cfn/__init__.py": package / "cfn" / "__init__.py",
    }
    sources |= {f"awsorch/cfn/{name}.py": package / "cfn" / f"{name}.py" for name in MODULES}
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, source in sorted(sources.items()):
            about = zipfile.ZipInfo(name, _THEN)
            about.compress_type, about.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
            archive.writestr(about, source.read_bytes())
    return made.getvalue()
