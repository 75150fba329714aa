"""What happens to a container: create, start, stop, update, remove, and what the dead left taken back."""
