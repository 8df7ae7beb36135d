"""Wire formats: encode our requests as a vendor's JSON, decode its responses and streams into our events."""
