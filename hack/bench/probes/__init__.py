"""Programs that the bench measures like others, where no command line reaches the part in question."""
