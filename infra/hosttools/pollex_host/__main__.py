"""What the launcher starts: `python3 -I -S …/pollex_host/__main__.py VERB`.

A file and not its folder, which Python would run by way of a machinery that costs a start as much as all of this. So
there is no package yet, and it is looked up.
"""

import sys
from importlib import import_module

sys.path.insert(0, __file__.rpartition("/pollex_host/")[0])
sys.exit(import_module("pollex_host.cli").main(sys.argv[1:]))
