"""The wire edge: servicers, conversion and the error table. Decides nothing."""
