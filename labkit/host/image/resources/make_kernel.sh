# Fetch a Debian kernel, and make a disk of its modules.
#
# Runs as a customize hook of mmdebstrap in a root that holds nothing but apt's configuration and the lists of the kernel's
# suite. $1 is that root; LABKIT_KERNEL_PACKAGE and LABKIT_KERNEL_SUITE say what is wanted. The results are in $1/out. The
# packages are unpacked, not installed: every kernel package depends on initramfs-tools, and our initrd is our own.
set -eu
export APT_CONFIG="$MMDEBSTRAP_APT_CONFIG"
mkdir "$1/packages" "$1/unpacked" "$1/modules" "$1/out"
cd "$1/packages"

if ! apt-cache show "$LABKIT_KERNEL_PACKAGE" > /dev/null 2>&1; then
    echo "E: there is no package $LABKIT_KERNEL_PACKAGE in Debian's suite $LABKIT_KERNEL_SUITE" >&2
    exit 1
fi
# Downloads the packages of the kernel, in the versions that apt prefers with the option in $1.
#
# A package such as linux-image-cloud-amd64 is empty and depends on the current version's. From 6.13 on that one is empty
# too and depends on linux-binary-*, linux-modules-* and linux-base-*, so the dependencies are followed all the way.
download() {
    packages=$(apt-cache $1 depends --recurse --important "$LABKIT_KERNEL_PACKAGE" \
        | grep -E '^linux-(image|binary|modules|base)-[a-z0-9.+-]+$' | sort -u)
    [ -n "$packages" ] || { echo "E: $LABKIT_KERNEL_PACKAGE is no package of a kernel" >&2; exit 1; }
    echo "I: kernel packages: $(echo $packages)"
    # The sandbox user of apt may not write here.
    apt-get -q -o APT::Sandbox::User=root $1 download $packages
}
# The newest is the security archive's. That of a release which is no longer cared for still lists what it has no more.
if ! download ""; then
    rm -f ./*.deb
    download "-oAPT::Default-Release=$LABKIT_KERNEL_SUITE"
fi
for package in *.deb; do
    dpkg-deb -x "$package" "$1/unpacked"
done

cd "$1/unpacked"
for modules in lib/modules usr/lib/modules; do
    [ ! -d "$modules" ] || cp -a "$modules/." "$1/modules/"
done
release=$(ls "$1/modules")
case "$release" in
    "" | *[!A-Za-z0-9.+~-]*) echo "E: $LABKIT_KERNEL_PACKAGE brings no modules, or those of several kernels" >&2; exit 1 ;;
esac
# Later kernels have the image beside the modules, earlier ones in /boot.
for image in "boot/vmlinuz-$release" "$1/modules/$release/vmlinuz"; do
    [ ! -f "$image" ] || mv "$image" "$1/out/vmlinuz"
done
# The configuration goes with the modules, too: it is what tells why something is not there.
for configuration in "boot/config-$release" "$1/modules/$release/config"; do
    [ ! -f "$configuration" ] || cp "$configuration" "$1/out/config"
done
cp "$1/out/config" "$1/modules/$release/config"
rm -f "$1/modules/$release/build" "$1/modules/$release/source"
# depmod looks below lib/modules of the directory that it is given.
mkdir "$1/lib"
ln -s ../modules "$1/lib/modules"
depmod -b "$1" "$release"
printf '%s' "$release" > "$1/out/release"

echo "I: making the disk of modules"
# No journal and no free space: it is mounted read-only.
truncate -s 512M "$1/modules.ext4"
mke2fs -q -t ext4 -L labkit-modules -m 0 -O '^has_journal,^resize_inode' -E lazy_itable_init=0,root_owner=0:0 \
    -d "$1/modules" "$1/modules.ext4"
qemu-img convert -c -f raw -O qcow2 "$1/modules.ext4" "$1/out/modules.qcow2"
rm "$1/modules.ext4"
