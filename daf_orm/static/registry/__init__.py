"""Models as Django's app registry has them, for answers that source alone does not give."""
