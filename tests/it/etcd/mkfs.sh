#!/bin/sh
# What makes file systems, on a machine where the first attempt fails before anything is written.
if [ ! -e /run/usual/tried ]; then
    : >/run/usual/tried
    echo "no luck" >&2
    exit 1
fi
exec /run/usual/mkfs.ext4 "$@"
