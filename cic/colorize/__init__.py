"""A photo or a film, and what a network says of it, made a coloured one."""
