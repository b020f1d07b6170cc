"""The boards: which panels stand where."""
