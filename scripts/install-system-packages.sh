#!/bin/sh
# Installs what building, the demo and the tests need from the system, where it is missing.
#
# usage: install-system-packages.sh [build|test|bench|fuzz]     (each includes build)
#
# What is there already, from wherever, is left alone; a second run installs nothing. Set
# WSPOOL_SKIP_SYSTEM_PACKAGES=1 to check and name what is missing without installing it.
set -eu

purpose=${1:-test}
python=${PYTHON:-python3}
missing=

need_command() { # command package
    command -v "$1" >/dev/null 2>&1 || missing="$missing $2"
}

have_package() {
    [ "$(dpkg-query -W -f='${db:Status-Abbrev}' "$1" 2>/dev/null | cut -c1-2)" = ii ]
}

need_header() { # header package; any include folder that the compiler searches will do
    have_package "$2" && return 0
    if command -v c++ >/dev/null 2>&1 &&
        printf '#include <%s>\n' "$1" | c++ -DASIO_STANDALONE -E -x c++ - >/dev/null 2>&1; then
        return 0
    fi
    missing="$missing $2"
}

need_python() {
    if ! command -v "$python" >/dev/null 2>&1; then
        missing="$missing python3 python3-venv python3-dev"
        return 0
    fi
    # A distribution's interpreter comes without venv and headers, in packages named after it.
    name=$("$python" -c 'import sys; print("python%d.%d" % sys.version_info[:2])')
    "$python" -c 'import ensurepip, venv' >/dev/null 2>&1 || missing="$missing $name-venv"
    header=$("$python" -c 'import sysconfig; print(sysconfig.get_paths()["include"])')/Python.h
    [ -f "$header" ] || missing="$missing $name-dev"
}

need_command g++ g++
need_command make make
need_command cmake cmake
need_command ninja ninja-build
need_command ccache ccache
need_command pkg-config pkg-config
need_header websocketpp/version.hpp libwebsocketpp-dev
need_header asio/version.hpp libasio-dev
need_header simdjson.h libsimdjson-dev
need_header openssl/ssl.h libssl-dev
need_header zlib.h zlib1g-dev
need_header doctest/doctest.h doctest-dev
need_python
if [ "$purpose" = fuzz ]; then
    need_command clang++ clang
    # What -fsanitize links is only recommended by clang's package.
    echo 'extern "C" int LLVMFuzzerTestOneInput(const unsigned char*, unsigned long) { return 0; }' |
        clang++ -fsanitize=fuzzer,address -x c++ - -o /dev/null >/dev/null 2>&1 ||
        missing="$missing libclang-rt-dev"
fi
if [ "$purpose" = test ]; then
    need_command openssl openssl
    need_command nginx nginx-light
    need_command node nodejs
    need_command npm npm
    # Proxies and networks with faults; tests without them are skipped.
    need_command tinyproxy tinyproxy-bin
    need_command microsocks microsocks
    need_command stunnel4 stunnel4
    need_command ip iproute2
    need_command curl curl
elif [ "$purpose" = bench ]; then
    need_header boost/beast.hpp libboost-dev
fi

missing=${missing# }
[ -n "$missing" ] || exit 0

if [ "${WSPOOL_SKIP_SYSTEM_PACKAGES:-0}" = 1 ]; then
    echo "These packages are missing and were not installed, as you asked: $missing" >&2
    exit 0
fi
if ! command -v apt-get >/dev/null 2>&1; then
    cat >&2 <<MESSAGE
This system has no apt-get. The Debian names of what seems to be missing are:
  $missing
Install their counterparts. The build goes on, and stops at the first one it cannot do without.
MESSAGE
    exit 0
fi

as_root=
if [ "$(id -u)" -ne 0 ]; then
    if ! command -v sudo >/dev/null 2>&1; then
        cat >&2 <<MESSAGE
These packages are missing:
  $missing
Installing them needs root, and there is no sudo here. As root, run:
  apt-get update && apt-get install $missing
MESSAGE
        exit 1
    fi
    as_root=sudo
fi

echo "Installing system packages: $missing"
$as_root apt-get update -q
# One word a package.
# shellcheck disable=SC2086
$as_root env DEBIAN_FRONTEND=noninteractive \
    apt-get install -y -q --no-install-recommends $missing
