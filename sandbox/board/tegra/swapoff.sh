#!/bin/sh
# swapoff — an imitation, as swapon is
set -eu
swaps=${IMITATED_TEGRA:-}/proc/swaps
left=$(awk -v file="$(readlink -f -- "$1")" '$1 != file' "$swaps")
printf '%s\n' "$left" >"$swaps"
