"""Outside systems, one a file, named for the job that they do here. They carry out and report; they decide nothing."""
