"""The commands of ``labkit network``, a module each, as ``labkit.cli.verb_…`` are those of ``labkit``."""
