"""One folder for each language that the rules know."""
