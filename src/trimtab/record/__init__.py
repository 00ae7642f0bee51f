"""The journal: what was predicted, from what, by which version, and when."""
