"""The participant's terminal: progress, tables, keys."""
