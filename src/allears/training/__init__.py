"""Training: one process, its data, its schedules; the probe and the fine-tuning grid."""
