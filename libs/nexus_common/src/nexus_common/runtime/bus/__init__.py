"""The transport between services: subjects and streams, JetStream, and its twin in memory."""
