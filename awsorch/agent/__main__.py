"""`python -m awsorch.agent`, and the program `awsorch-agent`."""

import logging
import os
import sys
from typing import NoReturn

from awsorch.agent.main import main


def run() -> NoReturn:
    """Run the program and end this process."""
    code = main()
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # threads may wait for an engine that hangs; nothing is left that would need them


if __name__ == "__main__":
    run()
