#!/bin/sh
# Install what the tests need and this machine lacks: with apt on Debian as root; elsewhere say what is missing.
# With CI=true something missing is a failure. Words name further tests: `kubernetes`, `emulation`.
set -eu
further=" $* "

say() { printf '%s\n' "$*" >&2; }

# Programs that show that a package is there (the first that is found counts), and its name in Debian.
needs() {
    cat <<'TABLE'
rabbitmq-server:/usr/sbin/rabbitmq-server rabbitmq-server
postgres:/usr/lib/postgresql/*/bin/postgres postgresql
/usr/sbin/pgbouncer pgbouncer
/usr/lib/*/faketime/libfaketimeMT.so.1 libfaketime
linux.uml user-mode-linux
ruby ruby
bundle ruby-bundler
go golang-go
Rscript r-base-core
node:nodejs nodejs
npm npm
javac default-jdk-headless
mvn maven
/usr/share/maven-repo/org/apache/maven/plugins/maven-dependency-plugin libmaven-dependency-plugin-java
/usr/share/maven-repo/org/apache/maven/plugins/maven-compiler-plugin libmaven-compiler-plugin-java
/usr/share/maven-repo/org/apache/maven/plugins/maven-resources-plugin libmaven-resources-plugin-java
/usr/share/maven-repo/org/junit/junit-bom junit5
php php-cli
perl perl
cpanm cpanminus
gcc gcc
/usr/sbin/dockerd docker.io
docker-compose docker-compose
slirp4netns slirp4netns
/usr/sbin/debootstrap debootstrap
/usr/bin/busybox busybox-static
chromium chromium
curl curl
wget wget
ps procps
/usr/sbin/nginx:nginx nginx-light
TABLE
    case $further in *" kubernetes "*)
        cat <<'TABLE'
etcd etcd-server
containerd containerd
/usr/sbin/runc:/usr/bin/runc runc
/usr/lib/cni/bridge containernetworking-plugins
/usr/sbin/ip:/usr/bin/ip iproute2
openssl openssl
TABLE
    esac
    case $further in *" emulation "*) echo "qemu-aarch64-static qemu-user-static" ;; esac
}

missing() {
    needs | while read -r programs package; do
        found=
        old_ifs=$IFS
        IFS=:
        for program in $programs; do
            IFS=$old_ifs
            case $program in
                /*) for path in $program; do [ -e "$path" ] && found=1; done ;;
                *) command -v "$program" >/dev/null 2>&1 && found=1 ;;
            esac
        done
        [ -n "$found" ] || printf '%s ' "$package"
    done
}

packages=$(missing)
[ -n "$packages" ] || exit 0

if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    say "installing for the tests: $packages"
    # The tests run servers of their own: with this run level the packages' services are not started.
    export RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive
    apt-get update -qq || true
    # shellcheck disable=SC2086 - the packages are words
    apt-get install -qq -y --no-install-recommends $packages >/dev/null || true
    packages=$(missing)
    [ -n "$packages" ] || exit 0
fi

say "missing for the tests: $packages"
if [ "${CI:-}" = true ]; then
    exit 1
fi
say "the tests that need them are skipped; on Debian: sudo apt-get install $packages"
