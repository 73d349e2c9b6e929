"""What the server does for each verb."""
