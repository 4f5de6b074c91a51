"""`make bench`: the bridge beside nginx and LiteLLM's proxy, each on one core, in one run."""
