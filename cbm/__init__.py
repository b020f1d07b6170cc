"""Decisions: what an alarm asks for, and how reliable an asset is."""
