"""Market data at rest: data directories, the tape, markets to play, trading calendars."""
