#!/bin/sh
# venv.sh [PYTHON]  make .venv of this checkout what requirements/dev.txt says, hash by hash
#
# uv does it in seconds: the one on PATH, else the locked one, which pip fetches. What is there already stays.
set -eu
cd -- "$(dirname -- "$0")/../.."
python=${1:-python3}
lock=requirements/dev.txt

# stop LINE — end with what is wrong and what to do about it.
stop() {
    printf 'error: %s\n' "$1" >&2
    exit 1
}

# is PROGRAM — which interpreter that is; nothing if it does not run.
is() {
    "$1" -c 'import os, sys; print(os.path.realpath(sys.base_prefix), sys.version)' 2>/dev/null || :
}

# environment — .venv with nothing in it, or the one that is there if it is of the same interpreter.
environment() {
    [ "$(is .venv/bin/python)" != "$(is "$python")" ] || return 0
    if command -v uv >/dev/null; then
        uv venv --quiet --clear --python "$python" .venv
    else
        "$python" -m venv --clear .venv || stop 'no virtual environment: apt-get install python3-venv'
    fi
}

# fetch_uv — the locked uv into .venv, by pip.
fetch_uv() {
    awk '/^[^ ]/ { found = /^uv==/ } found' "$lock" >.venv/uv.txt
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r .venv/uv.txt
}

command -v "$python" >/dev/null || stop 'python3 is missing: apt-get install python3-venv, or name one: make PYTHON=…'
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    stop "$("$python" --version) is too old: 3.11 or newer is needed, name it: make PYTHON=python3.12"
echo "preparing .venv from $lock" >&2
environment
if command -v uv >/dev/null; then
    uv=uv
else
    uv=.venv/bin/uv
    [ -x "$uv" ] || fetch_uv
fi
export VIRTUAL_ENV="$PWD/.venv"
"$uv" pip install --require-hashes -r "$lock"
"$uv" pip install --quiet --no-deps --no-build-isolation -e . -e service
touch .venv/.ready
