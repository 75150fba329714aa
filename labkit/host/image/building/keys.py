"""The SSH keys of a guest image. ssh-keygen may not exist on the host, cryptography does: paramiko needs it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat


class KeyPair(NamedTuple):
    """An ed25519 key in OpenSSH's formats."""

    private: bytes
    public: str
    """``ssh-ed25519 AAAA…``, without a line end and without a comment."""


def generate() -> KeyPair:
    """A new key pair. Not protected by a passphrase: it opens a machine on this computer's loopback interface only."""
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
    public = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    return KeyPair(private, public.decode())


def write_private(path: Path, contents: bytes) -> None:
    """A file that no other user can read, not even for a moment."""
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(contents)
