"""Networks that write drum patterns, one file each."""
