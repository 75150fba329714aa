#!/bin/sh
# Make a stock Debian 12 or Ubuntu 20.04 to 24.04 a machine of the lab. As root; a second run finds nothing to do.
#
#   provision.sh nft|legacy "PARAMETERS FOR THE KERNEL"
#
# /tmp/labkit-make-base-images.py makes the containers' base images; the Vagrantfile puts it there.
set -eu

iptables=$1
parameters=$2

say() { echo "labkit: $*"; }
fail() { echo "labkit: error: $*" >&2; exit 1; }

# Our own box has all of it.
if [ -e /etc/labkit-box ]; then exit 0; fi

. /etc/os-release
case "$ID $VERSION_ID" in
    "debian 12" | "ubuntu 20.04" | "ubuntu 22.04" | "ubuntu 24.04") ;;
    *) fail "this is $PRETTY_NAME, and what is known here is Debian 12 and Ubuntu 20.04, 22.04 and 24.04." ;;
esac

# What the guest image has (labkit/host/image/building/inputs.py; a test compares), beside what every installation has.
packages="
    sudo kmod util-linux openssh-server less procps psmisc tree strace
    python3 iproute2 iptables iputils-ping bridge-utils cgroup-tools
    fuse-overlayfs redis-server redis-tools busybox-static tcc libc6-dev
    podman netavark aardvark-dns crun uidmap tini
"
# Ubuntu has podman from 20.10 on, and its network's programs from 22.10 on; no lesson needs them.
case "$ID $VERSION_ID" in "ubuntu 20.04" | "ubuntu 22.04")
    packages=$(printf '%s\n' $packages | grep -vxE 'podman|netavark|aardvark-dns|crun') ;;
esac
# labkit needs Python 3.9. Ubuntu 20.04 has 3.8, and 3.9 beside it.
if [ "$ID $VERSION_ID" = "ubuntu 20.04" ]; then packages="$packages python3.9"; fi
# Ubuntu packs what its cloud images do without apart: aufs (up to 5.4), dm-thin-pool and others.
if [ "$ID" = ubuntu ]; then packages="$packages linux-modules-extra-$(uname -r)"; fi

# ---- packages

missing=""
for package in $packages; do
    if [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2> /dev/null)" != installed ]; then
        missing="$missing $package"
    fi
done
if [ -n "$missing" ]; then
    say "installing$missing"
    export DEBIAN_FRONTEND=noninteractive
    # A fresh machine's own timers may be at it just now.
    apt="apt-get --quiet --yes --option DPkg::Lock::Timeout=300"
    $apt update > /dev/null || fail "apt-get update failed; has the machine a network?"
    # What a package starts when it is installed would be stopped again below.
    # shellcheck disable=SC2086 # (words are what is meant)
    $apt install --no-install-recommends $missing > /tmp/labkit-apt.log 2>&1 || {
        tail -n 15 /tmp/labkit-apt.log >&2
        case "$missing" in *linux-modules-extra*)
            say "if it is linux-modules-extra that is gone: apt-get install linux-generic, \`vagrant reload --provision\`" ;;
        esac
        fail "these packages cannot be installed:$missing"
    }
    rm -f /tmp/labkit-apt.log
fi
if command -v python3.9 > /dev/null; then
    # Found before /usr/bin/python3, which the distribution's own programs name by its path.
    ln -sf "$(command -v python3.9)" /usr/local/bin/python3
fi
python=$(PATH="/usr/local/bin:$PATH" command -v python3)
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 9))' || fail "labkit needs Python 3.9, and $python is older."

# ---- settings

# put FILE: write standard input there; true if that changed something.
put() {
    mkdir -p "$(dirname "$1")"
    cat > "$1.labkit-new"
    if cmp -s "$1.labkit-new" "$1"; then rm "$1.labkit-new"; return 1; fi
    mv "$1.labkit-new" "$1"
}

running() { [ -d /run/systemd/system ]; }

# One connection carries a lesson's shells, its checks and a deploy.
if put /etc/ssh/sshd_config.d/labkit.conf << 'END'
PermitRootLogin prohibit-password
UseDNS no
MaxSessions 100
MaxStartups 100:30:200
END
then
    say "sshd: sessions, root by key"
    if running; then systemctl reload ssh; fi
fi

# Lessons start redis in a container, on redis's own port.
if [ "$(systemctl is-enabled redis-server 2> /dev/null)" = enabled ]; then
    say "redis-server is not started by itself"
    systemctl --quiet disable redis-server
fi
if running; then systemctl --quiet stop redis-server; fi

for command in iptables ip6tables; do
    wanted=/usr/sbin/$command-$iptables
    if [ "$(readlink -f "$(command -v $command)")" != "$(readlink -f "$wanted")" ]; then
        say "$command is $command-$iptables"
        update-alternatives --quiet --set "$command" "$wanted"
    fi
done

# ---- base images

if [ ! -e /usr/share/labkit/images/redis.tar ]; then
    say "making the base images busybox and redis"
    "$python" /tmp/labkit-make-base-images.py /usr/share/labkit/images.new
    mkdir -p /usr/share/labkit
    mv /usr/share/labkit/images.new /usr/share/labkit/images
fi
rm -f /tmp/labkit-make-base-images.py

# ---- the cgroup hierarchy, which systemd takes from the kernel's command line

if [ -d /etc/default/grub.d ] || [ -e /etc/default/grub ]; then
    if printf 'GRUB_CMDLINE_LINUX="$GRUB_CMDLINE_LINUX %s"\n' "$parameters" | put /etc/default/grub.d/zz-labkit.cfg; then
        update-grub > /dev/null 2>&1 || fail "update-grub failed"
    fi
fi
for parameter in $parameters; do
    grep -qwF -- "$parameter" /proc/cmdline || away=yes
done
# Version 2 is what all but Ubuntu 20.04 mount without being told.
case "$parameters" in
    *hierarchy=1*) [ ! -e /sys/fs/cgroup/cgroup.controllers ] || away=no ;;
esac
if [ "${away:-no}" = yes ]; then
    touch /run/labkit-reboot-needed
    say "the control groups are as lab.yaml says after one restart: \`vagrant reload\`"
fi
