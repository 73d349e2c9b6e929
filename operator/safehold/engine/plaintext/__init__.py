"""What a repository holds unsealed: a README, the description of the format, the rescue program."""
