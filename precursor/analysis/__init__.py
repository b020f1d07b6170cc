"""The analysis process: what takes windows of stored readings, and time, to compute; beside the engine."""
