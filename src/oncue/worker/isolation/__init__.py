"""Isolation: runs in processes of their own, held to a machine's memory and CPUs.

The worker (``isolated``, ``warm``) asks a warm process (``fork_server``) that has imported the tasks for a copy of
itself, in which the run's code is called (``process``, ``remote``). The run stays the worker's: it holds the place, the
lease and what is waited for; the process asks it, in ``messages``.
"""
