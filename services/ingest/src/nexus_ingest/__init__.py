"""Market data: feeds, closed candles, feed health."""
