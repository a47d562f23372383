"""Using a finished student: what it is asked, texts from it, and a server with it."""
