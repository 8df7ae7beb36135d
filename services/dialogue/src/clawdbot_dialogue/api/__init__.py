"""The wire edge: servicers, request validation, conversion and the error table. Decides nothing."""
