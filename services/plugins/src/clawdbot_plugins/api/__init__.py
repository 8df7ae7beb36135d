"""The gRPC edge: servicers, conversion and the error table. It makes no decisions."""
