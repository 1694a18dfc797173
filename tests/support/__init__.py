"""Things that several suites of tests share."""
