"""`python -m prime`: the same as the command `prime`."""

import sys

from prime.cli import main

sys.exit(main())
