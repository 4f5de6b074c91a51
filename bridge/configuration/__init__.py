"""What operators decide, as a YAML file: written for reading and keeping, read back into another bridge."""
