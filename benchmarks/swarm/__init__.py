"""Many members of one group in few processes: the group's own core and client, without commands.

Each light member has a session of its own with a real server, and sends what a real one sends.
What it leaves out is the command and its files: it waits for as long as these would take.
"""
