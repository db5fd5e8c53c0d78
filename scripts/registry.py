"""Find docker-registry, a real registry of images for the tests that pull from one, or install it.

One that is there is used; otherwise, on Debian or Ubuntu as root, the distribution's package is installed, with a line
that says so. It starts none: that is for the tests to do.
"""

from __future__ import annotations

import os
import shutil

from docker_engine import install_packages, is_debian, stop

PROGRAM = "docker-registry"


def main() -> None:
    if shutil.which(PROGRAM) is not None:
        return
    if not (is_debian() and os.geteuid() == 0):
        stop(
            f"{PROGRAM} is needed for the tests. Install it (Debian and Ubuntu: `sudo apt-get install {PROGRAM}`; it "
            "need not run as a service), or run make as root on Debian or Ubuntu, where it is installed."
        )
    print(f"set-up: no {PROGRAM} here: installing it with apt-get", flush=True)
    install_packages(PROGRAM)


if __name__ == "__main__":
    main()
