"""The commands; one of the two rooms that see both towers."""
