"""What Optuna keeps of a sweep: its studies, where they are stored, and whether a command may go on in them."""
