"""What several capabilities hear first: beats and stems."""
