"""Live markets: what the venues' feeds tell becomes steps for the services, in order and without gaps."""
