"""Drum charts: what is heard, how fast, in how much memory, beside what others make of the same recordings."""
