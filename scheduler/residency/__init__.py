"""What lives in which node's VRAM: observed from the nodes, changed only by the actions here."""
