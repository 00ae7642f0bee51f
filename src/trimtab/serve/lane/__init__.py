"""Predictions answered inside the connection, without a task and without ASGI."""
