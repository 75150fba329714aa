"""The commands of ``labkit network``, a module each, as ``labkit.runtime.cli.verb_…`` are those of ``labkit``."""
