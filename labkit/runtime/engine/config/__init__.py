"""From what a user asks for to config.json, and to the operations that its start consists of."""
