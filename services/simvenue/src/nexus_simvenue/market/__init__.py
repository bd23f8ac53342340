"""The venues' market side: public streams and history, played from a data directory or a generated market."""
