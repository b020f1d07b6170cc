"""Grafana boards as code, and the pictures that go with a work order."""
