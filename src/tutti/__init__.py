"""tutti."""
