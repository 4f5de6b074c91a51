"""What-if over fleets: which one is the cheapest that would have served a trace well enough."""
