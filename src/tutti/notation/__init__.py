"""A sheet as data, MusicXML, and the engravers that print it."""
