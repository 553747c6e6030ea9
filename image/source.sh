#!/bin/sh
# source.sh — the verified and patched source in /src, by the very steps that a board takes (infra/host/source.sh).
# shellcheck disable=SC2034,SC2153,SC2154 # variables of infra/host/source.sh, and what the Dockerfile gives in capitals
set -eu

commit=$COMMIT tree=$TREE number=$NUMBER mirrors=$MIRRORS
sparse=$(printf '%s' "$FOLDERS" | tr ' ' '\n')
work=/build drv=$work/drv
mkdir -p "$drv"
ln -s /patches "$drv/patches"
printf '%s\n' "$SERIES" | tr ' ' '\n' >"$drv/series"

# phase NAME [DETAIL] — progress, which a board writes into its build's state.
phase() {
    echo "$1 ${2:-}"
}

here=/host
# shellcheck source=/dev/null
. /host/lib.sh
# shellcheck source=/dev/null
. /host/source.sh
fetch_source
patch_source
mv "$work/src" /src
