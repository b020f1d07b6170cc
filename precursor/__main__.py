"""`python -m precursor`."""

from precursor.cli import main

main()
