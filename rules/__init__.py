"""Rules: limits on series, the vectorised evaluator and the alarm changes that come out of it."""
