"""The page and the API: photos come by HTTP, other processes colour them, and nothing is kept."""
