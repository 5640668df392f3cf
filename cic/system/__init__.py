"""Base of all other rooms: files, processes, locks, the console. It knows no colours and no
photos.
"""
