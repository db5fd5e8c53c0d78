"""Find HAProxy, or install it, so that local load balancers need no preparation.

An HAProxy that is there and new enough is used as it is. Otherwise, on Debian or Ubuntu as root, the distribution's
package is installed, with a line that says so. Anywhere else it stops and says what to do. It starts none: that is for
`awsorch up` to do.
"""

from __future__ import annotations

import os
import re
import subprocess

from docker_engine import install_packages, is_debian, stop

from awsorch.local.balancer.process import HaproxyMissing, find_haproxy

#: The first long-term release that checks servers which are added while it runs. Debian 12 has it.
OLDEST = (2, 6)


def main() -> None:
    there = version()
    if there is not None and there >= OLDEST:
        return
    wanted = f"HAProxy {OLDEST[0]}.{OLDEST[1]} or later"
    if there is not None:
        stop(f"{wanted} is needed for local load balancers, and {there[0]}.{there[1]} is here. Install a later one.")
    if not (is_debian() and os.geteuid() == 0):
        stop(
            f"{wanted} is needed for local load balancers. Install it (Debian and Ubuntu: `sudo apt-get install "
            "haproxy`; it need not run as a service), or run make as root on Debian or Ubuntu, where it is installed."
        )
    print("set-up: no HAProxy here: installing haproxy with apt-get", flush=True)
    install_packages("haproxy")
    there = version()
    if there is None or there < OLDEST:
        stop(f"{wanted} is needed for local load balancers, and this system's package is older. Install a later one.")
    print(f"set-up: HAProxy {there[0]}.{there[1]} is installed")


def version() -> tuple[int, int] | None:
    """The version of the HAProxy that is here, or None."""
    try:
        program = find_haproxy(os.environ.get("PATH", ""))
    except HaproxyMissing:
        return None
    done = subprocess.run((program, "-v"), stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    found = re.search(r"version (\d+)\.(\d+)", done.stdout)
    return (int(found[1]), int(found[2])) if found else None


if __name__ == "__main__":
    main()
