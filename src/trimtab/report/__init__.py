"""The stakeholder report: one page that explains a model to people."""
