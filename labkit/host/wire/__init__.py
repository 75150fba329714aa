"""The way to a machine: the one SSH connection, and what is sent over it."""
