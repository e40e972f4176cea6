"""How like drummers the patterns of `groove` are, in which style, whose they are, and how fast they come."""
