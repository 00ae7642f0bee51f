"""Built-in model formats, one file each; vendors are imported only in their own file."""
