"""Boundary types, the schema and the store: everything known about an asset is a series of readings."""
