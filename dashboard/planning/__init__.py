"""The page that plans fleets: what it asks, the traffic it plans for, and the process that does the work."""
