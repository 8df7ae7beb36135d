"""The gRPC API: servicers, request validation, conversion and the error table. It decides nothing."""
