"""Detectors of whole assets: how unlike themselves several sensors are together, and which of them it is."""
