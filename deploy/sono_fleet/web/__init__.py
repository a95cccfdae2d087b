"""The fleet manager's page: what the database knows, and the desk's words as buttons."""
