# Make the disk of the guest from the finished root filesystem: ext4 in a compressed qcow2.
#
# Runs outside the chroot as the last customize hook of mmdebstrap. $1 is the new root; the result is $1/labkit-out/disk.qcow2.
# Only here, inside mmdebstrap's user namespace, do the files have the owners that they shall have in the guest.
set -eu
work=$(mktemp -d "${1%/*}/labkit-disk.XXXXXX")
trap 'umount "$work/root" 2>/dev/null || true; rm -rf --one-file-system "$work"' EXIT

# mmdebstrap has /proc, /sys and /dev mounted below the root. A bind mount that is not recursive shows it without them.
mkdir "$work/root"
mount --bind "$1" "$work/root"

# No journal: a guest that was killed is never booted from the disk that it left, but goes back to its snapshot or to a
# fresh disk. lazy_itable_init=0: else the guest's kernel would write zeros over the inode tables in the background.
truncate -s 8G "$work/disk.ext4"
mke2fs -q -t ext4 -L labkit -m 0 -N 262144 -O '^has_journal,^resize_inode' -E lazy_itable_init=0,root_owner=0:0 \
    -d "$work/root" "$work/disk.ext4"
umount "$work/root"

qemu-img convert -c -f raw -O qcow2 "$work/disk.ext4" "$work/disk.qcow2"
mkdir -p "$1/labkit-out"
mv "$work/disk.qcow2" "$1/labkit-out/disk.qcow2"
