"""What runs on a host: the package `pollex_host`, its launcher, and the recipe that compiles."""
