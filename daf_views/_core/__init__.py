"""What several features share, and none owns."""
