"""Dry runs: what would be done, as a shell script or as config.json."""
