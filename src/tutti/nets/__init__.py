"""Network parts that two or more capabilities use."""
