"""The page and the API: photos come by HTTP, are coloured in processes of their own, and go."""
