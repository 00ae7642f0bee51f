"""Features: stored values for what a request leaves out, within a deadline."""
