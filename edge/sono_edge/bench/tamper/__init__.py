"""The tamper campaign: thousands of altered repositories before a real updater. How many does it take?"""
