"""Detectors of single sensors that learn while they score: what each sensor usually does, and how far it is from it."""
