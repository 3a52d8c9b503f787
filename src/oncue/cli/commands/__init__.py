"""The commands, one module each; ``app`` imports them by name when they are called."""
