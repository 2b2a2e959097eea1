"""The same models on clusters, over the topics that the live engine reads too."""
