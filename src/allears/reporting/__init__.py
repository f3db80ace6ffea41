"""Pages, figures and documents made from the tables of runs."""
