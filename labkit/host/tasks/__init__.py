"""The doors: what people type, before and behind the work itself."""
