"""The root file system from inside: operations of the first process on it, and what they are made from."""
