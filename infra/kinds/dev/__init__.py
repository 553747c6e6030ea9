"""The containers of a developer's own machine: settings, one list of containers, its twins, component."""
