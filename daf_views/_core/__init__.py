"""Code that several features share and none owns."""
