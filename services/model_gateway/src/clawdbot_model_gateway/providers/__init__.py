"""One file for each kind of backend; the folders hold what several need: http (connections), chat (wire)."""
