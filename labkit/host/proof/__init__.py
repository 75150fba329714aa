"""``invoke test`` and ``invoke lint``: every stage, where it runs, and what came of it."""
