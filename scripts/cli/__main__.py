"""`python -m scripts.cli` is `ostinato`."""

import sys

from scripts.cli import main

sys.exit(main())
