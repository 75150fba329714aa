"""One thin wrapper per system call that Python lacks, and one place that turns errno into words."""
