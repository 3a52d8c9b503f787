"""A pytest plugin for users; one of the two rooms that see both towers."""
