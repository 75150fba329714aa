"""The small processes that stay: a container's parent, and the parent of each program that exec runs."""
