"""What `safehold doctor` makes of a cluster: verdicts on its parts, and which objects of ours are orphans."""
