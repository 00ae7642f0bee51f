"""Feature stores, one file each; found by name through the entry points ``trimtab.stores``."""
