"""`evaluate`: what fine-tuning reached, against from scratch and random-frozen, overall and for every group."""
