"""A node that behaves like Ollama: a pure state machine (`node`) and its HTTP skin (`server`)."""
