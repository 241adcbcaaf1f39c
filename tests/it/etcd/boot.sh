#!/bin/bash
# The first process of a machine, in namespaces of its own: mounts what is the machine's, takes its
# address, and runs what its user data would start. It ends with the machine.
set -euo pipefail
machine="$1" address="$2" prefix="$3" resolver="$4"
shift 4

mount --make-rprivate /
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /var/lib
mount -t tmpfs tmpfs /var/tmp

# The system's configuration, with this machine's part.
mkdir -p /run/etc
cp -a /etc/. /run/etc/
cp -a "$machine/etc/." /run/etc/
echo "nameserver $resolver" >/run/etc/resolv.conf.new
rm -f /run/etc/resolv.conf
mv /run/etc/resolv.conf.new /run/etc/resolv.conf
mount --bind /run/etc /etc

# Devices: the usual ones, and the disks that are attached.
mkdir -p /run/dev/disk /run/dev/shm /run/dev/pts
for node in null zero full random urandom tty; do cp -a "/dev/$node" /run/dev/; done
for node in /dev/loop*; do cp -a "$node" /run/dev/; done
mkdir /run/dev/disk/by-id
mount --bind "$machine/by-id" /run/dev/disk/by-id
mount --rbind /run/dev /dev

mount --bind "$machine/systemctl" "$(command -v systemctl)"

for _ in $(seq 100); do
    ip link show eth0 >/dev/null 2>&1 && break
    sleep 0.05
done
ip link set lo up
ip address add "$address/$prefix" dev eth0
ip link set eth0 up

"$@" >>"$machine/node.log" 2>&1 &
echo $! >"$machine/node.pid"
# Processes that lose their parent become children of this one.
while true; do wait || true; sleep 1; done
