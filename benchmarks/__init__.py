"""What Nexus takes, beside what the bare parts would take in the same run."""
