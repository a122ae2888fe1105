"""A scene like the work: an adult and a child who play, take turns, wait and look at each other."""
