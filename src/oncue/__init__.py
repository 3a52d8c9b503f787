"""Durable background tasks for Python on PostgreSQL."""
