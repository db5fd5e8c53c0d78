"""Where tasks go: filters, strategies, the cluster query language, and the index that makes deciding quick."""
