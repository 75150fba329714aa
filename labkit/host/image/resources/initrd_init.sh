#!/bin/sh
# The whole initrd's work: modules for the disks and the network card, the root filesystem, the kernel's modules below it,
# the address. busybox is the only program here.
mount -t devtmpfs dev /dev
mount -t proc proc /proc
mount -t sysfs sys /sys

while read -r module; do
    insmod "/modules/$module" || echo "labkit initrd: cannot load $module"
done < /modules/list

fail() {
    echo "labkit initrd: cannot mount $1"
    poweroff -f
}

# The driver finds the disks in the background, in any order: each has its label. Ten seconds are an eternity, also in
# software emulation.
disk_called() {
    tries=0
    until findfs "LABEL=$1" 2> /dev/null || [ "$tries" -ge 200 ]; do
        sleep 0.05
        tries=$((tries + 1))
    done
}

# QEMU's user-mode network always gives its guest this address. Set here it costs nothing; a unit would cost a process each.
ip address add 10.0.2.15/24 dev eth0
ip link set eth0 up
ip route add default via 10.0.2.2

mount -t ext4 -o rw,noatime "$(disk_called labkit)" /newroot || fail "the root filesystem"
mount -t ext4 -o ro "$(disk_called labkit-modules)" /newroot/usr/lib/modules || fail "the kernel's modules"
# Where programs look for the kernel's configuration.
ln -sf "/lib/modules/$(uname -r)/config" "/newroot/boot/config-$(uname -r)"

for tree in dev proc sys; do
    mount --move "/$tree" "/newroot/$tree"
done
exec switch_root /newroot /sbin/init
