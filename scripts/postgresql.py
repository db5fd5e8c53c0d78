"""Find PostgreSQL, the store that several controllers share, or install it for the tests.

One that is there and new enough is used; otherwise, on Debian or Ubuntu as root, the distribution's package is
installed, with a line that says so. It starts none: that is for the tests to do, with files of their own.
"""

from __future__ import annotations

import os
from pathlib import Path

from docker_engine import install_packages, is_debian, stop

OLDEST = 13
PLACES = "/usr/lib/postgresql"


def main() -> None:
    if is_there():
        return
    if not (is_debian() and os.geteuid() == 0):
        stop(
            f"PostgreSQL {OLDEST} or later is needed for the tests. Run make as root on Debian or Ubuntu, where it is "
            "installed, or install it there: sudo apt-get install postgresql (it need not run as a service)."
        )
    print("set-up: no PostgreSQL here: installing postgresql with apt-get", flush=True)
    install_packages("postgresql")
    if not is_there():
        stop(f"PostgreSQL {OLDEST} or later is needed, and this system's package is older. Install a later one.")


def is_there() -> bool:
    """Whether a server of the wanted age is installed where Debian has them."""
    return any(int(found.parts[-3].split(".")[0]) >= OLDEST for found in Path(PLACES).glob("*/bin/initdb"))


if __name__ == "__main__":
    main()
