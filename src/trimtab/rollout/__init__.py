"""How new versions reach users: split, slots, strategies, guardrails, controller, audit."""
