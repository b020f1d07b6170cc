"""The panels of the boards, by what they are about."""
