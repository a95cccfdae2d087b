"""The updater: a short-lived process that fetches what the fleet wants, verifies it (TUF) and stages it.

Nothing of it is imported by the agent or the uplink: they meet in files under the state folder.
"""
