"""Peers: other task queues, measured beside oncue on the same PostgreSQL in the same minutes.

Each runs in an environment of its own, made with uv below the user's cache folder, and on a database of its own. What
a peer does is in the module ``<name>_peer``, which its own interpreter executes (hence nothing is imported here);
``running`` drives it from the measuring process.
"""
