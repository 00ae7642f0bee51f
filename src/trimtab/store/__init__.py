"""Where things are kept: SQL state, artifacts by digest, columnar files."""
