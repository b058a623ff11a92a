"""`python -m batch.controller` serves one queue."""

import sys

from batch.controller.server import main

sys.exit(main())
