"""The wire edge: servicers and the error table. Contains no decisions."""
