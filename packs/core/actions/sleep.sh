#!/bin/sh
# Waits for some seconds, then prints a message when it was given one.
set -eu
. "$(dirname "$0")/../lib/parameters.sh"

seconds=1 message=
read_parameters seconds message

case $seconds in
    '' | *[!0-9]*) complain "seconds: '$seconds' is not a whole number of seconds" ;;
esac

sleep "$seconds"
if [ -n "$message" ]; then
    printf '%s\n' "$message"
fi
