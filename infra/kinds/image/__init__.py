"""The image for all platforms: settings, one request for its build, what is attached to it, component."""
