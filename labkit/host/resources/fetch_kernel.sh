# Put a Debian kernel and its modules into the new root filesystem, as files: without dpkg's database, and so without the
# initramfs-tools that every kernel package depends on (the initrd is ours, see make_initrd.py).
#
# Runs outside the chroot as a customize hook of mmdebstrap. $1 is the new root. LABKIT_KERNEL_PACKAGE and
# LABKIT_KERNEL_SUITE say what is wanted, LABKIT_SUITE which suite the root filesystem is from.
set -eu
export APT_CONFIG="$MMDEBSTRAP_APT_CONFIG"
root="$1"
work="$root/var/cache/labkit-kernel"
mkdir -p "$work"
cd "$work"

# A suite other than the root filesystem's comes from the same archive, and goes before it. Where it is the same, nothing
# is preferred: the newest kernel is the security archive's.
release=""
if [ "$LABKIT_KERNEL_SUITE" != "$LABKIT_SUITE" ]; then
    release="-oAPT::Default-Release=$LABKIT_KERNEL_SUITE"
    grep -E "^deb .* $LABKIT_SUITE main" "$root/etc/apt/sources.list" \
        | sed "s/ $LABKIT_SUITE main/ $LABKIT_KERNEL_SUITE main/" > "$root/etc/apt/sources.list.d/labkit-kernel.list"
    apt-get -q update
fi

if ! apt-cache $release show "$LABKIT_KERNEL_PACKAGE" > /dev/null 2>&1; then
    echo "E: there is no package $LABKIT_KERNEL_PACKAGE in Debian's suite $LABKIT_KERNEL_SUITE" >&2
    exit 1
fi
# A package such as linux-image-cloud-amd64 is empty and depends on the current version's. From 6.13 on that one is empty
# too and depends on linux-binary-* and linux-modules-*, so the dependencies are followed all the way.
packages=$(apt-cache $release depends --recurse --important "$LABKIT_KERNEL_PACKAGE" \
    | grep -E '^linux-(image|binary|modules)-[a-z0-9.+-]+$' | sort -u)
[ -n "$packages" ] || { echo "E: $LABKIT_KERNEL_PACKAGE is no package of a kernel" >&2; exit 1; }
echo "I: kernel packages: $(echo $packages)"
# The sandbox user of apt may not write here.
apt-get -q -o APT::Sandbox::User=root $release download $packages

mkdir unpacked
for package in *.deb; do
    dpkg-deb -x "$package" unpacked
done
# /lib is a link to usr/lib in the new root.
mkdir -p "$root/usr/lib/modules" "$root/boot"
for modules in unpacked/lib/modules unpacked/usr/lib/modules; do
    [ ! -d "$modules" ] || cp -a "$modules/." "$root/usr/lib/modules/"
done
cp -a unpacked/boot/. "$root/boot/"
# Later kernels have the image beside the modules.
for image in "$root"/usr/lib/modules/*/vmlinuz; do
    [ ! -f "$image" ] || mv "$image" "$root/boot/vmlinuz-$(basename "$(dirname "$image")")"
done
cd /
rm -rf "$work" "$root/etc/apt/sources.list.d/labkit-kernel.list"
