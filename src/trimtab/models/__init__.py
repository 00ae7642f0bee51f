"""Models: artifacts in several formats, and the registry that knows their versions."""
