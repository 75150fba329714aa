"""collections: only ``collections.abc`` is here; whoever needs a deque takes the original."""
