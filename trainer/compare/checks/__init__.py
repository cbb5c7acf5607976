"""Can this study be run, judged and reported on? Answered before its first run trains."""
