"""Trained models as artefacts: written without pickle, checked before they are read, kept by version and state."""
