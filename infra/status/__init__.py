"""`make status STACK=…`: what every machine of a stack is doing now, on one screen. Nothing is changed anywhere."""
