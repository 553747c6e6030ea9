#!/bin/sh
# pollex — the polish service and its command, from the bundle that this file stands in as bin/pollex.
set -eu
here=$(readlink -f -- "$0")
here=${here%/bin/pollex}
read -r interpreter <"$here/interpreter"
case $interpreter in ./*) interpreter=$here/$interpreter ;; esac
# The bundle never changes: compiled modules go elsewhere, or nowhere.
[ -n "${PYTHONPYCACHEPREFIX:-}" ] || export PYTHONDONTWRITEBYTECODE=1
PYTHONPATH=$here/lib exec "$interpreter" -P -s -m pollex "$@"
