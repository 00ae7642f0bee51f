"""What follows from a verdict: alerts to people, retraining."""
