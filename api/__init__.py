"""The HTTP interface: what the engine knows, for people and programs."""
