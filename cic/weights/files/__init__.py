"""Files of arrays, read and written without the frameworks and without running their code."""
