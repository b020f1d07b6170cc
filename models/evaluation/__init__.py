"""How good a detector or prognosis is, in figures that cannot be had by chance."""
