#!/bin/sh
# Build the agent for a machine of another architecture, in a Debian root of that one, under QEMU's emulation:
#
#     build/foreign.sh arm64|amd64 PROGRAM
#     build/foreign.sh arm64|amd64 --root        only make the root, and print its directory
#
# Needs root, debootstrap and qemu-user-static. The root directory is kept in FOREIGN_ROOTS, by default
# ~/.cache/attune-agent/roots: it is made once, the environment of the build in it once for each set of packages.
# DEBIAN_MIRROR names a mirror; by default it is the one that apt uses here.
set -eu

architecture=$1 program=$2
here=$(cd "$(dirname "$0")/.." && pwd)
root=${FOREIGN_ROOTS:-${XDG_CACHE_HOME:-$HOME/.cache}/attune-agent/roots}/bookworm-$architecture
case $architecture in
    arm64) machine=aarch64 ;;
    amd64) machine=x86_64 ;;
    *) echo "ARCH must be arm64 or amd64, not $architecture" >&2; exit 2 ;;
esac

fail() { echo "building for $architecture on $(uname -m): $1" >&2; exit 1; }

needs() {
    for program_needed in debootstrap "qemu-$machine-static"; do
        command -v "$program_needed" >/dev/null || return 1
    done
}

if ! needs; then
    [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null ||
        fail "install debootstrap and qemu-user-static (Debian's names), and run as root"
    apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends \
        debootstrap qemu-user-static
fi
[ "$(id -u)" = 0 ] || fail "a Debian root can be made by root only; or build on a machine of that architecture"

# The kernel hands programs of that architecture to QEMU, inside the root, too: it holds the interpreter open (flag F).
formats=/proc/sys/fs/binfmt_misc
if [ ! -e "$formats/qemu-$machine" ]; then
    [ -e "$formats/register" ] || mount -t binfmt_misc binfmt_misc "$formats" ||
        fail "the kernel has no binfmt_misc, or this container may not mount it"
    sed 's/:[A-Z]*$/:OPF/' "/usr/lib/binfmt.d/qemu-$machine.conf" >"$formats/register" ||
        fail "QEMU can't be registered with the kernel (binfmt_misc)"
fi

# One at a time: two builds would share the root.
mkdir -p "$(dirname "$root")"
exec 8>"$root.lock"
flock 8

if [ ! -e "$root/.complete" ]; then
    mirror=${DEBIAN_MIRROR:-$(apt-get indextargets --format '$(REPO_URI)' 2>/dev/null | grep -v security | head -n 1)}
    rm -rf "$root"
    debootstrap --arch="$architecture" --variant=minbase \
        --include=ca-certificates,gcc,libc6-dev,libpython3.11,libzstd-dev,binutils,python3,python3-venv \
        bookworm "$root" "${mirror:-https://deb.debian.org/debian}" >"$root.log" 2>&1 ||
        fail "debootstrap fails: see $root.log"
    rm -rf "$root"/var/cache/apt/* "$root"/var/lib/apt/lists/*
    touch "$root/.complete"
fi
if [ "$program" = --root ]; then echo "$root"; exit 0; fi

rm -rf "$root/src/agent" "$root/src/build" "$root/src/packs" "$root/src/migrations" "$root/src/requirements" "$root/src/dist"
mkdir -p "$root/src"
(cd "$here" && tar -c --exclude=__pycache__ agent build packs migrations pyproject.toml README.md requirements) |
    tar -x -C "$root/src"
cp /etc/resolv.conf "$root/etc/resolv.conf"
# An authority that this machine trusts for its package index is trusted in there, too.
if [ -n "${PIP_CERT:-}" ]; then
    mkdir -p "$root$(dirname "$PIP_CERT")" && cp -L "$PIP_CERT" "$root$PIP_CERT"
fi
export root
unshare --mount sh -eu -c '
    mount -t proc proc "$root/proc"
    mount --rbind /dev "$root/dev"
    exec env -u PIP_FIND_LINKS PATH=/usr/sbin:/usr/bin:/sbin:/bin chroot "$root" /bin/sh -eu -c "
        cd /src
        build/prepare.sh var/build/venv
        var/build/venv/bin/python build/freeze.py var/build/tree
        var/build/venv/bin/python build/pack.py var/build/tree dist/attune-agent-'"$architecture"'
        var/build/venv/bin/python build/sbom.py var/build/tree dist/attune-agent-'"$architecture"'
    "
'
mkdir -p "$(dirname "$program")"
cp "$root/src/dist/attune-agent-$architecture" "$program.new"
mv "$program.new" "$program"
for about in cdx.json licences.txt; do cp "$root/src/dist/attune-agent-$architecture.$about" "$program.$about"; done
(cd "$(dirname "$program")" && sha256sum "$(basename "$program")" >"$(basename "$program").sha256")
