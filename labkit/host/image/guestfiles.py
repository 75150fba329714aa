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
        "/etc/systemd/journald.conf.d/labkit.conf": JOURNAL,
        "/etc/systemd/system.conf.d/labkit.conf": SYSTEM,
        "/etc/hostname": "labkit\n",
        "/etc/hosts": f"127.0.0.1 localhost\n::1 localhost\n{ADDRESS} labkit\n",
        "/etc/resolv.conf": "nameserver 10.0.2.3\n",
        "/etc/fstab": "/dev/vda / ext4 rw,noatime 0 0\n",
        # An empty one makes systemd think of a first boot, which takes a second more.
        "/etc/machine-id": machine_id + "\n",
    }
    files = {path: text.encode() for path, text in texts.items()}
    files["/etc/ssh/ssh_host_ed25519_key"] = host_private_key
    return files
