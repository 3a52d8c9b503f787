"""What is said between the towers: pure types and rules, no I/O.

The user tower (``sdk``, ``worker``) and the platform tower (``api``, ``engine``, ``store``) share this package and
nothing else. Field names on the wire are camelCase, as the HTTP contract has them; in Python they are snake_case.
"""
