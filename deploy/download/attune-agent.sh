#!/bin/sh
# Fetch the one-file agent from an Attune server and become it: the entry point of a container without an init container.
#
#   ATTUNE_AGENT_URL         the server, e.g. http://attune:8080
#   ATTUNE_AGENT_TOKEN       its agent.bootstrap_token; or ATTUNE_AGENT_TOKEN_FILE, a file that holds it
#   ATTUNE_AGENT_FILE        where the agent is kept; default /opt/attune/bin/attune-agent
#   ATTUNE_AGENT_PATIENCE    seconds to wait for a server that is away; default 120
#
# Needs one of curl, wget (busybox's, too) and python3. What is kept is used again while the server has the same, and
# when the server is away. Arguments are the agent's. The server itself has this script: /api/v1/agent/script.
set -eu

say() { printf 'attune-agent.sh: %s\n' "$*" >&2; }
fail() { say "$*"; exit 1; }
has() { command -v "$1" >/dev/null 2>&1; }

url=${ATTUNE_AGENT_URL:-}
[ -n "$url" ] || fail "ATTUNE_AGENT_URL is not set: the URL of the Attune server, e.g. http://attune:8080"
url=${url%/}
file=${ATTUNE_AGENT_FILE:-/opt/attune/bin/attune-agent}
token=${ATTUNE_AGENT_TOKEN:-}
if [ -z "$token" ] && [ -n "${ATTUNE_AGENT_TOKEN_FILE:-}" ]; then
    [ -r "$ATTUNE_AGENT_TOKEN_FILE" ] || fail "ATTUNE_AGENT_TOKEN_FILE: can't read $ATTUNE_AGENT_TOKEN_FILE"
    token=$(cat "$ATTUNE_AGENT_TOKEN_FILE")
fi
[ -n "$token" ] || fail "ATTUNE_AGENT_TOKEN is not set: the server's agent.bootstrap_token"

has curl || has wget || has python3 ||
    fail "neither curl nor wget nor python3 is in this image: bring the agent with an init container instead"
has sha256sum || has openssl || has python3 ||
    fail "neither sha256sum nor openssl nor python3 is in this image: what is fetched can't be checked"

case $(uname -m) in
    x86_64 | amd64) arch=x86_64 ;;
    aarch64 | arm64) arch=aarch64 ;;
    *) fail "there is no agent for $(uname -m), only for x86_64 and aarch64" ;;
esac

# get URL FILE: write what the server answers into FILE. The token is kept from the process list where that is possible.
get() {
    if has curl; then
        printf 'header = "X-Agent-Token: %s"\n' "$token" | curl -fsS --connect-timeout 10 -K - -o "$2" "$1"
    elif has wget; then
        # Busybox's wget knows no -t, and one that Debian has crashes with -T.
        case $(wget --version 2>&1) in *GNU*) options="-t 1 -T 30" ;; *) options= ;; esac
        # shellcheck disable=SC2086 # none or several words
        wget -q $options --header "X-Agent-Token: $token" -O "$2" "$1" || {
            say "$1: wget ended with exit code $? (GNU's: 4 the network, 6 the token, 8 another refusal)"
            return 1
        }
    else
        ATTUNE_AGENT_TOKEN=$token python3 -I -c '
import os, shutil, sys, urllib.request
request = urllib.request.Request(sys.argv[1], headers={"X-Agent-Token": os.environ["ATTUNE_AGENT_TOKEN"]})
try:
    with urllib.request.urlopen(request, timeout=30) as answer, open(sys.argv[2], "wb") as file:
        shutil.copyfileobj(answer, file)
except OSError as error:
    sys.exit(f"{sys.argv[1]}: {error}")
' "$1" "$2"
    fi
}

digest_of() {
    if has sha256sum; then
        found=$(sha256sum "$1") && printf '%s' "${found%% *}"
    elif has openssl; then
        found=$(openssl dgst -sha256 "$1") && printf '%s' "${found##* }"
    else
        python3 -I -c 'import hashlib, sys; print(hashlib.sha256(open(sys.argv[1], "rb").read()).hexdigest(), end="")' "$1"
    fi
}

# wanted_digest: what the server says of the agent for this machine.
wanted_digest() {
    get "$url/api/v1/agent/info" "$temporary" || return 1
    info=$(cat "$temporary")
    case $info in
        *'"version":"'*) version=${info#*'"version":"'}; version=${version%%'"'*} ;;
        *) version= ;;
    esac
    case $info in
        *"\"arch\":\"$arch\""*) ;;
        *) say "$url/api/v1/agent/info says nothing of $arch: is this an Attune server?"; return 1 ;;
    esac
    info=${info#*"\"arch\":\"$arch\""}
    info=${info%%\}*}
    case $info in
        *'"sha256":"'*) info=${info#*'"sha256":"'}; wanted=${info%%'"'*} ;;
        *'"available":true'*) wanted= ;; # Attune's Rust API: it says version and size only
        *) say "$url has no agent for $arch"; return 1 ;;
    esac
    size=${info#*'"size_bytes":'}
    size=${size%%[!0-9]*}
}

# A copy is good when it has the digest that was checked when it was fetched.
is_good() {
    [ -x "$file" ] && [ -r "$file.sha256" ] && [ "$(cat "$file.sha256")" = "$(digest_of "$file")" ]
}

fetch() {
    wanted_digest || return 1
    if [ -n "$wanted" ]; then
        if is_good && [ "$(cat "$file.sha256")" = "$wanted" ]; then
            return 0
        fi
    elif is_good && [ -r "$file.version" ] && [ "$(cat "$file.version")" = "$version $size" ]; then
        return 0
    fi
    get "$url/api/v1/agent/binary?arch=$arch" "$temporary" || return 1
    found=$(digest_of "$temporary")
    if [ -n "$wanted" ] && [ "$found" != "$wanted" ]; then
        say "what came from $url has the digest $found instead of $wanted: it is thrown away"
        return 1
    fi
    if [ -z "$wanted" ]; then
        came=$(wc -c <"$temporary") && came=$((came))
        if [ "$came" != "$size" ]; then
            say "what came from $url has $came bytes instead of $size: it is thrown away"
            return 1
        fi
    fi
    chmod 755 "$temporary"
    rm -f "$file.version"
    mv -f "$temporary" "$file"
    printf '%s' "$found" >"$temporary"
    mv -f "$temporary" "$file.sha256"
    if [ -z "$wanted" ]; then
        printf '%s %s' "$version" "$size" >"$temporary"
        mv -f "$temporary" "$file.version"
    fi
    say "fetched the agent $found from $url"
}

directory=${file%/*}
mkdir -p "$directory" 2>/dev/null || true
temporary=$file.$$.part
(: >"$temporary") 2>/dev/null ||
    fail "$directory is not writable: set ATTUNE_AGENT_FILE to a place that is, e.g. on an emptyDir"
trap 'rm -f "$temporary"' EXIT

waited=0
pause=1
until fetch; do
    if is_good; then
        say "the server can't be asked: using the copy in $file"
        break
    fi
    [ "$waited" -lt "${ATTUNE_AGENT_PATIENCE:-120}" ] || fail "no agent could be fetched from $url within $waited s; the lines above say why"
    sleep "$pause"
    waited=$((waited + pause))
    [ "$pause" -ge 8 ] || pause=$((pause * 2))
done
rm -f "$temporary"
# What proves that the container may have the program proves that the worker may have a token, too.
if [ -z "${ATTUNE__AGENT__BOOTSTRAP_TOKEN:-}" ]; then
    export ATTUNE__AGENT__BOOTSTRAP_TOKEN="$token"
fi
unset ATTUNE_AGENT_TOKEN token
exec "$file" "$@"
