"""Built-in rollout strategies, one file each (entry-point group ``trimtab.strategies``)."""
