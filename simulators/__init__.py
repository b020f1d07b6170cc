"""Simulated plants with injected faults, gateways, and replay of recorded data: all of it speaks MQTT."""
