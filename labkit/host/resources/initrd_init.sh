#!/bin/sh
# The whole initrd's work: modules for the disk and the network card, the root filesystem, the address.
# busybox is the only program here.
mount -t devtmpfs dev /dev
mount -t proc proc /proc
mount -t sysfs sys /sys

while read -r module; do
    insmod "/modules/$module" || echo "labkit initrd: cannot load $module"
done < /modules/list

# The driver finds the disk in the background. Ten seconds are an eternity, also in software emulation.
tries=0
until [ -b /dev/vda ] || [ "$tries" -ge 200 ]; do
    sleep 0.05
    tries=$((tries + 1))
done

# QEMU's user-mode network always gives its guest this address. Set here it costs nothing; a unit would cost a process each.
ip address add 10.0.2.15/24 dev eth0
ip link set eth0 up
ip route add default via 10.0.2.2

if ! mount -t ext4 -o rw,noatime /dev/vda /newroot; then
    echo "labkit initrd: cannot mount the root filesystem"
    poweroff -f
fi
for tree in dev proc sys; do
    mount --move "/$tree" "/newroot/$tree"
done
exec switch_root /newroot /sbin/init
