"""`python -m pollex`: the command line."""

import sys

from pollex.cli import main

sys.exit(main())
