"""Signals of rules: readings in, samples out; one module for each way of looking at them."""
