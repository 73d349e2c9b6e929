"""Which restore points stay and which go: pure rules that worker, controller and command line share."""
