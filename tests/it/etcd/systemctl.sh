#!/bin/bash
# What a container lacks of systemd: reads the same units, and keeps up what they say with
# Restart=on-failure, within their limits.
set -euo pipefail
state=/run/units
mkdir -p "$state"
verb="${1:-}"
shift || true
[ "${1:-}" = --no-block ] && shift
unit="${1:-}"

is_active() {
    [ -s "$state/$unit" ] && kill -0 "$(cat "$state/$unit")" 2>/dev/null &&
        [ "$(cut -d' ' -f3 "/proc/$(cat "$state/$unit")/stat")" != Z ]
}

file() {
    for folder in /etc/systemd/system /run/systemd/system; do
        [ -f "$folder/$unit" ] && echo "$folder/$unit" && return
    done
    echo "there is no $unit" >&2
    exit 1
}

# A setting of the unit, or what it is without one.
says() {
    found="$(sed -n "s/^$1=//p" "$(file)")"
    echo "${found:-$2}"
}

case "$verb" in
daemon-reload) ;;
enable)
    grep -q '^WantedBy=' "$(file)" || { echo "$unit is not installed anywhere" >&2; exit 1; }
    ;;
is-active)
    if is_active; then echo active; else
        echo inactive
        exit 3
    fi
    ;;
start)
    is_active && exit 0
    command="$(says ExecStart "")"
    [ -n "$command" ] || { echo "no ExecStart in $unit" >&2; exit 1; }
    environment="$(says EnvironmentFile "")"
    environment="${environment#-}"
    if [ -n "$environment" ] && [ -f "$environment" ]; then
        set -a
        # shellcheck disable=SC1090
        . "$environment"
        set +a
    fi
    setsid bash -c '
        echo $$ >"$1"
        trap "kill -TERM \$child; wait \$child; exit 0" TERM
        for ((start = 0; start < $6; start++)); do
            code=0
            $2 >>"$4" 2>&1 || code=$?
            if [ "$code" = 0 ]; then
                $3 >>"$4" 2>&1 &
                child=$!
                wait $child || code=$?
                [ "$code" = 0 ] && exit 0
                [ "$code" = "$5" ] && exit "$code"
            fi
            sleep 2 &
            child=$!
            wait $child
        done
    ' keeper "$state/$unit" "$(says ExecStartPre true)" "$command" "$state/$unit.log" \
        "$(says RestartPreventExitStatus none)" "$(says StartLimitBurst 1000)" \
        </dev/null >/dev/null 2>&1 &
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
    echo "systemctl: $verb is not known here" >&2
    exit 1
    ;;
esac
