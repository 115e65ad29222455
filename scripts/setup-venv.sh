#!/bin/sh
# Makes .venv, if it is missing, and installs groups of pyproject.toml's requirements into it.
#
# usage: setup-venv.sh GROUP...     e.g. build test
set -eu

python=${PYTHON:-python3}
venv=${VENV:-.venv}

if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))'; then
    echo "wspool needs Python 3.10 or later; '$python' is $("$python" --version 2>&1)." >&2
    echo "Name another one, for example: make PYTHON=python3.12 $*" >&2
    exit 1
fi
# A venv whose interpreter is gone, or is another one, is made anew.
which() { "$1" -c 'import sys; print(sys.version_info[:3], sys.base_prefix)' 2>/dev/null || true; }
if [ "$(which "$venv/bin/python")" != "$(which "$python")" ]; then
    "$python" -m venv --clear "$venv"
fi

requirements=$("$venv/bin/python" scripts/requirements.py "$@")
echo "$requirements" >"$venv/requirements.txt"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check \
    -r "$venv/requirements.txt"
