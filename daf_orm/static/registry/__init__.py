"""What Django's app registry says of models, for answers that source alone does not give."""
