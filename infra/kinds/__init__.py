"""What stacks declare, kind by kind: the settings, what is planned from them, and the component; `table` lists them."""
