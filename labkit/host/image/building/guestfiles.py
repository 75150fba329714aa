"""The guest's own configuration: path -> contents, as it is unpacked into the new root filesystem."""

from __future__ import annotations

ADDRESS = "10.0.2.15"
"""What QEMU's user-mode network gives its guest (and 10.0.2.2 to itself); the initrd sets it."""

# Without PAM a login makes no session of systemd-logind, which is not running anyway: half the time of a login in
# software emulation. PATH and LANG are PAM's work otherwise. MaxSessions: everything goes over one connection.
SSHD = """\
HostKey /etc/ssh/ssh_host_ed25519_key
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
UseDNS no
PrintMotd no
PrintLastLog no
X11Forwarding no
MaxSessions 100
MaxStartups 100:30:200
SetEnv PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8
"""

# nft is Debian's default, so only the other choice is work. iptables and ip6tables are alternatives of their own.
IPTABLES_UNIT = """\
[Unit]
Description=Switch iptables to the legacy back end, as the kernel command line says
ConditionKernelCommandLine=labkit.iptables=legacy
DefaultDependencies=no
After=local-fs.target
Before=ssh.service

[Service]
Type=oneshot
ExecStart=/usr/bin/update-alternatives --set iptables /usr/sbin/iptables-legacy
ExecStart=/usr/bin/update-alternatives --set ip6tables /usr/sbin/ip6tables-legacy

[Install]
WantedBy=multi-user.target
"""

# Nothing is to be kept: the disk goes back to the snapshot anyway.
JOURNAL = """\
[Journal]
Storage=volatile
RuntimeMaxUse=16M
"""

# A unit that does not stop shall not keep us waiting for a minute and a half.
SYSTEM = """\
[Manager]
DefaultTimeoutStopSec=5s
DefaultTimeoutStartSec=30s
"""

# Vagrant logs in with a key pair that everybody knows, and puts one of its own in its place (ssh.insert_key).
# https://github.com/hashicorp/vagrant/tree/main/keys
VAGRANT_INSECURE_KEY = (
    "ssh-rsa "
    "AAAAB3NzaC1yc2EAAAABIwAAAQEA6NF8iallvQVp22WDkTkyrtvp9eWW6A8YVr+kz4TjGYe7gHzIw+niNltGEFHzD8+v1I2YJ6oX"
    "evct1YeS0o9HZyN1Q9qgCgzUFtdOKLv6IedplqoPkcmF0aYet2PkEDo3MlTBckFXPITAMzF8dJSIFo9D8HfdOV0IAdx4O7PtixWK"
    "n5y2hMNG0zQPyUecp4pzC6kivAIhyfHilFR61RGL+GPXQ2MWZWFYbAGjyiYJnAmCP3NOTd0jMZEnDkbUvxhMmBYSdETk1rRgm+R4"
    "LOzFUGaHqHDLKLX+FIPKcF96hrucXzcWyLbIbEgE98OHlnVYCzRdK8jlqm8tehUc9c9WhQ=="
    " vagrant insecure public key"
)

# The same disk is QEMU's machine and, packed by `invoke box`, Vagrant's. There, and only there, anybody may have the
# disk: so a box's machine makes keys of its own before sshd starts, and the image's key for root is good for nothing.
BOX_UNIT = """\
[Unit]
Description=Make the machine of a Vagrant box its own: host key, and the way in for Vagrant
ConditionKernelCommandLine=labkit.box
ConditionPathExists=!/etc/labkit-box
DefaultDependencies=no
After=local-fs.target
Before=ssh.service

[Service]
Type=oneshot
ExecStart=/bin/sh -e /usr/share/labkit/first-boot-of-a-box

[Install]
WantedBy=multi-user.target
"""

BOX_FIRST_BOOT = f"""\
rm -f /etc/ssh/ssh_host_*
ssh-keygen -q -t ed25519 -N '' -C '' -f /etc/ssh/ssh_host_ed25519_key
rm -f /root/.ssh/authorized_keys
install -d -m 700 -o vagrant -g vagrant /home/vagrant/.ssh
echo '{VAGRANT_INSECURE_KEY}' > /home/vagrant/.ssh/authorized_keys
chown vagrant:vagrant /home/vagrant/.ssh/authorized_keys
chmod 600 /home/vagrant/.ssh/authorized_keys
rm -f /etc/machine-id
systemd-machine-id-setup
touch /etc/labkit-box
"""

BASHRC = """\
# Shown to whoever logs in with `invoke ssh`.
case $- in *i*) PS1='\\u@\\h:\\w\\$ '; alias ls='ls --color=auto' ;; esac
"""


def guest_files(
    client_public_key: str, host_private_key: bytes, host_public_key: str, machine_id: str
) -> dict[str, bytes]:
    """Path in the guest -> contents. The keys are in OpenSSH's formats, a machine-id is 32 hexadecimal digits."""
    texts = {
        "/etc/ssh/sshd_config.d/labkit.conf": SSHD,
        "/etc/ssh/ssh_host_ed25519_key.pub": host_public_key + "\n",
        "/root/.ssh/authorized_keys": client_public_key + "\n",
        "/root/.bashrc": BASHRC,
        "/etc/systemd/system/labkit-iptables.service": IPTABLES_UNIT,
        "/etc/systemd/system/labkit-box.service": BOX_UNIT,
        "/usr/share/labkit/first-boot-of-a-box": BOX_FIRST_BOOT,
        "/etc/sudoers.d/vagrant": "vagrant ALL=(ALL) NOPASSWD: ALL\n",
        "/etc/systemd/journald.conf.d/labkit.conf": JOURNAL,
        "/etc/systemd/system.conf.d/labkit.conf": SYSTEM,
        "/etc/hostname": "labkit\n",
        "/etc/hosts": f"127.0.0.1 localhost\n::1 localhost\n{ADDRESS} labkit\n",
        "/etc/resolv.conf": "nameserver 10.0.2.3\n",
        "/etc/fstab": "LABEL=labkit / ext4 rw,noatime 0 0\n",
        # An empty one makes systemd think of a first boot, which takes a second more.
        "/etc/machine-id": machine_id + "\n",
    }
    files = {path: text.encode() for path, text in texts.items()}
    files["/etc/ssh/ssh_host_ed25519_key"] = host_private_key
    return files
