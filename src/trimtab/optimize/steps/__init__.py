"""Steps of optimisation, one file each; the planner tries them in the order of ``STEPS``."""
