#!/bin/sh
# Looks how full the disk is and sends an event when that has changed: to all rules, whose conditions choose.
set -u

send() {
    url="$ATTUNE_API_URL/api/v1/events"
    if command -v curl >/dev/null; then
        curl -sS --fail --max-time 10 -o /dev/null -H "Authorization: Bearer $ATTUNE_API_TOKEN" \
            -H 'Content-Type: application/json' -d "$1" "$url"
    else
        wget -q -T 10 -O /dev/null --header "Authorization: Bearer $ATTUNE_API_TOKEN" \
            --header 'Content-Type: application/json' --post-data "$1" "$url"
    fi
}

before=
while :; do
    percent=$(df -P / | awk 'NR == 2 { sub("%", "", $5); print $5 }')
    if [ "$percent" != "$before" ] &&
        send "{\"trigger_ref\": \"examples.disk_usage\", \"payload\": {\"percent\": $percent, \"mount\": \"/\"}}"; then
        before=$percent
    fi
    sleep 60
done
