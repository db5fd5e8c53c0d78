"""LocalStack and LocalEmu where there is a Python 3.13; where there is none these tests are not collected, and the end
of the run says so (tests/conftest.py)."""

from __future__ import annotations

from tests.support.localstack import find_python

collect_ignore_glob = [] if find_python() is not None else ["test_*.py"]
