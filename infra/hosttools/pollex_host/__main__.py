"""What the launcher starts: `python3 -I -S …/pollex_host VERB`; the folder is no package then, so it is looked up."""

import sys
from importlib import import_module

sys.path[0] = sys.path[0].rpartition("/")[0]
sys.exit(import_module("pollex_host.cli").main(sys.argv[1:]))
