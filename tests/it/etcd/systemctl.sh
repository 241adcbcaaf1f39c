#!/bin/bash
# What a container lacks of systemd: reads the same units, and keeps up what they say with
# Restart=on-failure.
set -euo pipefail
state=/run/units
mkdir -p "$state"
unit="${2:-}"

is_active() {
    [ -s "$state/$unit" ] && kill -0 "$(cat "$state/$unit")" 2>/dev/null &&
        [ "$(cut -d' ' -f3 "/proc/$(cat "$state/$unit")/stat")" != Z ]
}

case "${1:-}" in
daemon-reload) ;;
is-active)
    if is_active; then echo active; else
        echo inactive
        exit 3
    fi
    ;;
start)
    is_active && exit 0
    command="$(sed -n 's/^ExecStart=//p' "/run/systemd/system/$unit")"
    [ -n "$command" ] || { echo "no ExecStart in $unit" >&2; exit 1; }
    setsid bash -c '
        echo $$ >"$1"
        trap "kill -TERM \$child; wait \$child; exit 0" TERM
        while true; do
            $2 >>"$3" 2>&1 &
            child=$!
            wait $child && exit 0
            sleep 2 &
            child=$!
            wait $child
        done
    ' keeper "$state/$unit" "$command" "$state/$unit.log" </dev/null >/dev/null 2>&1 &
    for _ in $(seq 100); do is_active && exit 0; sleep 0.02; done
    exit 1
    ;;
stop)
    if is_active; then
        pid="$(cat "$state/$unit")"
        kill -TERM "$pid"
        for _ in $(seq 1000); do is_active || exit 0; sleep 0.02; done
        exit 1
    fi
    ;;
*)
    echo "systemctl: ${1:-} is not known here" >&2
    exit 1
    ;;
esac
