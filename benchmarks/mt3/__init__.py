"""What the MT3 family costs here: over the length of a recording, at the start, and by number format and backend."""
