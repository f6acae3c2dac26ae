"""Rewrite source so that a finding goes away; formatting is kept."""
