"""Training: the good time of a class of assets out of the store, a model of it into the registry."""
