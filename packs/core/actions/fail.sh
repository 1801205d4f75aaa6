#!/bin/sh
# Writes a message to standard error and fails with the exit code that was asked for.
set -eu
. "$(dirname "$0")/../lib/parameters.sh"

message='failed on purpose' exit_code=1
read_parameters message exit_code

case $exit_code in
    '' | *[!0-9]* | 0 | ????*) complain "exit_code: '$exit_code' is not a number from 1 to 255" ;;
esac
if [ "$exit_code" -lt 1 ] || [ "$exit_code" -gt 255 ]; then
    complain "exit_code: '$exit_code' is not a number from 1 to 255"
fi

printf '%s\n' "$message" >&2
exit "$exit_code"
