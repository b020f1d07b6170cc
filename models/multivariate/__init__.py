"""Detectors of assets: all sensors of an asset together, so that a changed relation between them shows as well."""
