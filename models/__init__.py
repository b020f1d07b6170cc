"""Models: streaming detectors that turn a series of readings into a series of anomaly scores."""
