"""The door: what the broker delivers becomes readings, or a rejection with its reason. Nothing is lost between."""
