"""What the rest stands on: files, processes, locks, the console; nothing of colours or photos."""
