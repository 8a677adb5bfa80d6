"""Real servers for tests, from Debian's packages: started in seconds, gone at the end."""
