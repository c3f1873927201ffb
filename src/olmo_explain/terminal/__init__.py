"""How each command's result looks to a person in a terminal; --json does without."""
