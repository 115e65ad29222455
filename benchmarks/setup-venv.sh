#!/bin/sh
# Makes the benchmark's own venv and installs the pinned peers, or the built wheel of wspool.
#
# usage: setup-venv.sh VENV peers | setup-venv.sh VENV wheel
set -eu

venv=$1
python=${PYTHON:-python3}
pip="$venv/bin/python -m pip --disable-pip-version-check"
folder=$(dirname "$0")

which() { "$1" -c 'import sys; print(sys.version_info[:3], sys.base_prefix)' 2>/dev/null || true; }

case $2 in
peers)
    if [ "$(which "$venv/bin/python")" != "$(which "$python")" ]; then
        "$python" -m venv --clear "$venv"
    fi
    $pip install --quiet -r "$folder/requirements.txt"
    ;;
wheel)
    $pip install --quiet --no-deps --force-reinstall "$folder"/../build/dist/*.whl
    ;;
*)
    echo "usage: $0 VENV peers|wheel" >&2
    exit 2
    ;;
esac
