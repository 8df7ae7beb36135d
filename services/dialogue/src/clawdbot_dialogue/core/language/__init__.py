"""Language packs: one folder for each language, and what they share."""
