"""The command line: one module for each verb, one table, one place where errors become words and exit statuses."""
