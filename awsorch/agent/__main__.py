"""`python -m awsorch.agent`"""

import logging
import os
import sys

from awsorch.agent.main import main

code = main()
logging.shutdown()
sys.stdout.flush()
sys.stderr.flush()
os._exit(code)  # threads may wait for an engine that hangs; nothing is left that would need them
