"""The wire edge: servicers and the error table. Decides nothing."""
