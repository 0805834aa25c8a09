"""What moved between two trees of runs, of two commits or machines."""
