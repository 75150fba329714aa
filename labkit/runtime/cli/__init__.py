"""The command line: a function for each verb, one table, one place where errors become words and exit statuses."""
