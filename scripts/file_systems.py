"""Find the tools that make the file systems of EBS volumes, for the tests of such volumes, or install them.

Those that are there are used; otherwise, on Debian or Ubuntu as root, the distribution's packages are installed, with a
line that says so.
"""

from __future__ import annotations

import os
import shutil

from docker_engine import install_packages, is_debian, stop

PACKAGES = {"mkfs.ext4": "e2fsprogs", "mkfs.xfs": "xfsprogs"}


def main() -> None:
    missing = [package for tool, package in PACKAGES.items() if shutil.which(tool) is None]
    if not missing:
        return
    names = " and ".join(missing)
    if not (is_debian() and os.geteuid() == 0):
        stop(
            f"{names} are needed for the tests. Install them, or run make as root on Debian or Ubuntu, where they are "
            "installed."
        )
    print(f"set-up: no {names} here: installing with apt-get", flush=True)
    install_packages(*missing)


if __name__ == "__main__":
    main()
