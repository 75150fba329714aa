"""The way in: Vagrant's own login makes root's, which is what the lab uses from then on.

``vagrant ssh-config`` names host, port, user and key. With these we log in once, as the user that Vagrant has, and give
root (by sudo, which every box allows) a key of ours. In return we take the machine's host key, which is trusted from
then on: the machine was made a moment ago, and is on this computer.
"""

from __future__ import annotations

import shlex
from pathlib import Path

import fabric
import paramiko

from labkit.errors import InfrastructureError
from labkit.host.image.building import keys
from labkit.host.wire import ssh
from labkit.host.wire.ssh import Endpoint

CLIENT_KEY = "client_key"
"""In the machine's directory: the private key that root's ``authorized_keys`` knows."""

_TIMEOUT = 60.0

_LET_ROOT_IN = """
set -e
mkdir -p -m 700 /root/.ssh
touch /root/.ssh/authorized_keys
chmod 600 /root/.ssh/authorized_keys
grep -qxF {key} /root/.ssh/authorized_keys || echo {key} >> /root/.ssh/authorized_keys
cat /etc/ssh/ssh_host_ed25519_key.pub
"""


def parse(text: str) -> fabric.Connection:
    """The login that ``vagrant ssh-config`` prints, in ssh_config(5)'s format; it trusts whoever answers.

    InfrastructureError where that is no login.
    """
    try:
        config = paramiko.SSHConfig.from_text(text)
        (host,) = config.get_hostnames() - {"*"}
        found = config.lookup(host)
        files = list(found.get("identityfile", ()))  # any of them may open it
        return ssh.unopened(found["hostname"], found.as_int("port"), found["user"], _TIMEOUT, key_filename=files)
    except (KeyError, ValueError, paramiko.SSHException):
        raise InfrastructureError(f"`vagrant ssh-config` said something else than how to log in: {text!r}") from None


def let_root_in(login: fabric.Connection, directory: Path) -> Endpoint:
    """Root's own way in; its private key goes to ``directory``. InfrastructureError where Vagrant's does not work."""
    pair = keys.generate()
    path = directory / CLIENT_KEY
    path.unlink(missing_ok=True)
    keys.write_private(path, pair.private)
    script = _LET_ROOT_IN.format(key=shlex.quote(f"{pair.public} labkit"))
    with login:
        try:
            login.open()
        except (OSError, EOFError, paramiko.SSHException) as error:
            raise InfrastructureError(f"Vagrant's own login ({login.user}) does not work: {error}") from error
        status, stdout, stderr = ssh.execute(login, f"sudo -n sh -c {shlex.quote(script)}", timeout=_TIMEOUT)
    if status != 0:
        why = ssh.last_line(stderr)
        raise InfrastructureError(f"The user {login.user} of the machine cannot become root by sudo: {why}")
    words = stdout.decode(errors="replace").split()
    if len(words) < 2 or words[0] != "ssh-ed25519":
        raise InfrastructureError(f"The machine did not say its host key, but: {' '.join(words) or 'nothing'}")
    return Endpoint(login.host, login.port, path, f"{words[0]} {words[1]}")
