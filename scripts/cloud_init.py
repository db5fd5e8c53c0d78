"""Find cloud-init, or install it, so that user data can be held to its schema.

A cloud-init that is there is used as it is. Otherwise, on Debian or Ubuntu as root, the distribution's package is
installed, told beforehand to keep its hands off this machine: it is here to read, not to run at the next boot. Anywhere
else it stops and says what to do.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from docker_engine import install_packages, is_debian, stop

#: cloud-init does nothing on a machine with this file. Source: cloud-init documentation, "How to disable cloud-init".
DISABLED = Path("/etc/cloud/cloud-init.disabled")


def main() -> None:
    if shutil.which("cloud-init") is not None:
        return
    if not (is_debian() and os.geteuid() == 0):
        stop(
            "cloud-init is needed to check user data, only to read it. Install it (Debian and Ubuntu: "
            f"`sudo mkdir -p {DISABLED.parent} && sudo touch {DISABLED} && sudo apt-get install cloud-init`), or run "
            "make as root on Debian or Ubuntu, where it is installed."
        )
    print("set-up: no cloud-init here: installing cloud-init with apt-get, disabled on this machine", flush=True)
    DISABLED.parent.mkdir(parents=True, exist_ok=True)
    DISABLED.touch()
    install_packages("cloud-init")
    print("set-up: cloud-init is installed")


if __name__ == "__main__":
    main()
