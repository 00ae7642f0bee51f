"""The composition root: configuration to objects."""
