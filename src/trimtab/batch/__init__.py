"""Batch scoring: the same path as online, a manifest, one file an engine."""
