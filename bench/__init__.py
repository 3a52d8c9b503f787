"""Benchmarks: how fast oncue is, beside what this machine's PostgreSQL allows in the same minutes.

``python -m bench`` runs them; ``README.md`` says how to read them. Nothing here is part of the package.
"""
