"""The whole database in a file, and back. The secrets of the data directory stay out of it."""
