"""Benches: what this machine does, and beside each figure the same work by the barest means, in the same run."""
