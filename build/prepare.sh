#!/bin/sh
# Make the environment in which the agent is frozen: a compiler, an interpreter with its shared library, pinned packages.
#
#     build/prepare.sh DIRECTORY      (BUILD_PYTHON names the interpreter that shall be frozen)
#
# What Debian lacks is installed when we may; elsewhere it is named.
set -eu

directory=$1
here=$(cd "$(dirname "$0")" && pwd)
python=${BUILD_PYTHON:-}
if [ -z "$python" ]; then
    # Debian's own interpreter: stripped, fast, and with the shared library that PyInstaller needs.
    for candidate in /usr/bin/python3.11 /usr/bin/python3.13 /usr/bin/python3.12 /usr/bin/python3; do
        if [ -x "$candidate" ]; then python=$candidate; break; fi
    done
fi

missing=
[ -n "$python" ] || missing="$missing python3"
command -v gcc >/dev/null || missing="$missing gcc"
command -v strip >/dev/null || missing="$missing binutils"
found=$(printf '#include <zstd.h>\n#include <unistd.h>\nint main(void){return ZSTD_isError(ZSTD_freeDStream(0));}\n' |
    gcc -x c - -static -lzstd -o /dev/null 2>&1 && echo yes || true)
[ "$found" = yes ] || missing="$missing libc6-dev libzstd-dev"
if [ -n "$python" ]; then
    version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    "$python" -c 'import ensurepip' 2>/dev/null || missing="$missing python$version-venv"
    "$python" -c 'import ctypes, sysconfig; ctypes.CDLL(sysconfig.get_config_var("INSTSONAME"))' 2>/dev/null ||
        missing="$missing libpython$version"
fi
if [ -n "$missing" ]; then
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $missing
        python=${python:-/usr/bin/python3}
    else
        echo "build-agent needs these packages (Debian's names):$missing" >&2
        exit 1
    fi
fi

stamp=$(cksum <"$here/../requirements/build.txt")-$("$python" -VV | cksum)
if [ "$(cat "$directory/stamp" 2>/dev/null)" != "$stamp" ]; then
    "$python" -m venv --clear "$directory"
    "$directory/bin/python" -m pip install --quiet --disable-pip-version-check --no-compile \
        --require-hashes --only-binary :all: -r "$here/../requirements/build.txt"
    echo "$stamp" >"$directory/stamp"
fi
