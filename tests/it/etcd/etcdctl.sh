#!/bin/sh
# etcd's client, followed by what a bad disk does: while the machine's folder has a file `spoilt`, a byte
# of each snapshot of main is another one as soon as it is written.
/run/usual/etcdctl "$@" || exit
case "$*" in *" snapshot save "*/main/*) ;; *) exit 0 ;; esac
[ -f /run/machine/spoilt ] || exit 0
for file; do :; done
at=5000
byte=$(od -An -tu1 -j $at -N 1 "$file")
# shellcheck disable=SC2059
printf "\\$(printf %03o $((byte ^ 1)))" | dd of="$file" bs=1 seek=$at conv=notrunc status=none
