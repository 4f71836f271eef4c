"""How runs look to people, in a terminal and in a notebook."""
