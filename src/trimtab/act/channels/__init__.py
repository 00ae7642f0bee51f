"""Ways to reach people, one file each; ``create(name, config)`` makes one."""
