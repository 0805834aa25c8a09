"""What runs and sweeps left on disk, read into typed values: files, plans, results, configs, learning curves."""
