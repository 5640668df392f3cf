"""Read and write files of arrays without the frameworks and without running their code."""
