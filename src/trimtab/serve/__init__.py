"""The HTTP edge: wire formats, error to status, processes, drain."""
