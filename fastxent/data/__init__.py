"""Rows, targets and ranges of work; and the engines that visit the parts of a data set."""
