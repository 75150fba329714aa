# Runs inside a new Debian 12 root filesystem, as root: what the Vagrantfile does to a stock box, twice. $1 is the version
# of iptables, $2 what the kernel is to be told. What is said goes to /out, which test_provision.py reads.
set -eu
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
mkdir -p /out /etc/default/grub.d
# A root filesystem has no boot loader.
printf '#!/bin/sh\necho called >> /out/update-grub\n' > /usr/sbin/update-grub
chmod 755 /usr/sbin/update-grub

for number in 1 2; do
    cp /root/make_base_images.py /tmp/labkit-make-base-images.py
    sh /root/provision.sh "$1" "$2" > "/out/provision-$number" 2>&1 || { cat "/out/provision-$number"; exit 1; }
    tar -czf /tmp/labkit-code.tar.gz -C /root labkit
    sh /root/deploy.sh > "/out/deploy-$number" 2>&1 || { cat "/out/deploy-$number"; exit 1; }
done

{
    iptables -V
    ip6tables -V
    labkit --version
    labkit images
    echo "redis-server: $(systemctl is-enabled redis-server || true)"
    mkdir -p /run/sshd # which its unit makes
    sshd -T | grep -E '^(maxsessions|permitrootlogin) '
    cat /etc/default/grub.d/zz-labkit.cfg
    echo "left: $(cd /tmp && echo labkit*)"
} > /out/after 2>&1
