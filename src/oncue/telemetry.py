"""Events and spans, and the catalogue of their names."""
