"""What all workers of a machine share in files of the state directory, across restarts."""
