"""The controller among thousands of VMs: how quickly, with how much memory, and with how many requests it works."""
