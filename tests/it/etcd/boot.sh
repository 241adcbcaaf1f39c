#!/bin/bash
# The first process of a machine, in namespaces of its own: mounts what is the machine's, takes its
# address, and runs its user data. It ends with the machine.
set -euo pipefail
# A machine knows nothing of whoever started it.
for name in "${!AWS_@}"; do unset "$name"; done
unset http_proxy https_proxy HTTP_PROXY HTTPS_PROXY
machine="$1" address="$2" prefix="$3" resolver="$4"

mount --make-rprivate /
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /var/lib
mount -t tmpfs tmpfs /var/tmp

# The system's configuration, with what the image brings.
mkdir -p /run/etc
cp -a /etc/. /run/etc/
rm -rf /run/etc/kprod
[ ! -d "$machine/etc" ] || cp -a "$machine/etc/." /run/etc/
mkdir -p /run/etc/systemd/system
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

# Where the image has programs of its own, they are in the usual ones' place.
[ ! -d "$machine/bin" ] || mount -t overlay overlay -o "lowerdir=$machine/bin:/usr/bin" /usr/bin

mount --bind "$machine/systemctl" "$(command -v systemctl)"

# Where the image has a tool of its own, the usual one stays at hand for it.
mkdir /run/usual
if [ -f "$machine/mkfs.ext4" ]; then
    touch /run/usual/mkfs.ext4
    mount --bind "$(command -v mkfs.ext4)" /run/usual/mkfs.ext4
    mount --bind "$machine/mkfs.ext4" "$(command -v mkfs.ext4)"
fi
if [ -f "$machine/etcdctl" ]; then
    touch /run/usual/etcdctl
    mount --bind /usr/bin/etcdctl /run/usual/etcdctl
    mount --bind "$machine/etcdctl" /usr/bin/etcdctl
    ln -s "$machine" /run/machine
fi

# Where the image has the program already, nothing is fetched.
if [ -f "$machine/program" ]; then
    mkdir -p /var/lib/kprod/bin
    cp "$machine/program" /var/lib/kprod/bin/kprod
    chmod 755 /var/lib/kprod/bin/kprod
fi

for _ in $(seq 100); do
    ip link show eth0 >/dev/null 2>&1 && break
    sleep 0.05
done
ip link set lo up
ip address add "$address/$prefix" dev eth0
ip link set eth0 up

mkdir /run/units
ln -s "$machine/node.log" /run/units/kprod-node-etcd.service.log
sh "$machine/user-data" >>"$machine/node.log" 2>&1
# Processes that lose their parent become children of this one.
while true; do wait || true; sleep 1; done
