"""`python -m awsorch.agent`"""

import sys

from awsorch.agent.main import main

sys.exit(main())
