#!/bin/sh
# Boots the systemd of this machine on a copy-on-write view of its files: sh boot.sh CGROUP SCRATCH CHECKOUT UV UV_CACHE
#
# Run as process 1 of new mount, process, network, IPC and host name namespaces. Whatever is written goes to memory
# and is gone with the last process; the network is a loopback device and nothing else.
set -eu

if [ "$1" ]; then
    # Only what is in a group already may have it as the root of its namespace.
    echo 0 >"$1/cgroup.procs"
    shift
    exec unshare --cgroup sh "$0" '' "$@"
fi
scratch=$2 checkout=$3 uv=$4 uv_cache=$5

mount --make-rprivate /
mount -t tmpfs tmpfs "$scratch"
root=$scratch/root
mkdir "$scratch/upper" "$scratch/work" "$root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$scratch/upper,workdir=$scratch/work" "$root"

mount -t proc proc "$root/proc"
mount -t sysfs -o ro sysfs "$root/sys"
mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
mount -t tmpfs -o mode=755 tmpfs "$root/run"
mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
mount -t tmpfs -o mode=755 tmpfs "$root/dev"
for device in null zero full random urandom tty; do
    : >"$root/dev/$device"
    mount --bind "/dev/$device" "$root/dev/$device"
done
mkdir "$root/dev/pts" "$root/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts "$root/dev/pts"
mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"

# A host without services of its own, on which nobody has installed a fleet yet.
rm -rf "$root"/etc/systemd/system/* "$root"/etc/fstab "$root"/opt/ollama-fleet "$root"/etc/ollama-fleet \
    "$root"/var/lib/ollama-fleet "$root"/usr/local/bin/ollama-fleet
: >"$root/etc/machine-id"
mkdir -p "$root/srv/checkout" "$root/srv/uv"
mount --bind "$checkout" "$root/srv/checkout"
mount --bind "$uv_cache" "$root/srv/uv"
cp "$uv" "$root/usr/local/bin/uv"

mkdir "$root/old"
cd "$root"
pivot_root . old
umount -l /old
# As systemd makes it where it finds no container around itself; how it hands out credentials depends on it.
mount --make-rshared /
exec env -i container=ollama-fleet-test PATH=/usr/sbin:/usr/bin:/sbin:/bin \
    /lib/systemd/systemd --unit=multi-user.target --show-status=no --log-target=journal
