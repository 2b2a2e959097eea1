"""One suite, all engines: histories told by topics, and what every engine must make of them."""
